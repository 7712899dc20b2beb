"""Every error that acme-io raises on purpose.

Each class is also the builtin error that a caller without acme-io in mind would expect, so
`except OSError` or `except ValueError` keep working. All of them carry one text argument only:
they are pickled on a worker and raised again on the client.
"""

__all__ = [
    "AcmeIOError",
    "DamagedFileError",
    "FailedCallError",
    "MissingCallError",
    "NotStorableError",
    "OutputDirError",
    "PicklesRefusedError",
    "ResultDtypeError",
    "ResultShapeError",
    "ResultsExistError",
    "RunLockError",
    "UnknownFileError",
]


class AcmeIOError(Exception):
    """Base class of all errors of acme-io."""


class ResultShapeError(AcmeIOError, ValueError):
    """A return value does not fit into its slot of `result_shape`."""


class ResultDtypeError(AcmeIOError, TypeError):
    """A return value cannot be converted to `result_dtype` without loss of meaning."""


class NotStorableError(AcmeIOError, TypeError):
    """A return value has no form in HDF5 (and, when raised for a call, none as a pickle)."""


class OutputDirError(AcmeIOError, OSError):
    """An output directory cannot be used: it is a file, or nothing can be written there."""


class ResultsExistError(AcmeIOError, FileExistsError):
    """An output directory already holds results of the function."""


class RunLockError(AcmeIOError, FileExistsError):
    """Another run is writing results of the same function to the same output directory."""


class UnknownFileError(AcmeIOError, ValueError):
    """A file or folder is not something that acme-io has written."""


class DamagedFileError(AcmeIOError, OSError):
    """A file of acme-io is cut short or its content has changed since it was written."""


class MissingCallError(AcmeIOError, LookupError):
    """A call has no result: it was never finished, or its file is gone or damaged."""


class FailedCallError(AcmeIOError, RuntimeError):
    """A call has no result because the function raised an exception."""


class PicklesRefusedError(AcmeIOError, ValueError):
    """A result is a pickle and unpickling was not allowed."""
