"""The errors of acme-io.

Each class also derives from the matching builtin error, so `except OSError` and `except ValueError`
work as usual. All take a single text argument: they are pickled on a worker and raised again on the
client.
"""

# Unpickling an exception calls its class with `args`. A constructor with other parameters fails
# there, on the client, in the middle of a run.

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
    """Base class of all acme-io errors."""


class ResultShapeError(AcmeIOError, ValueError):
    """A return value does not fit into its slot of `result_shape`."""


class ResultDtypeError(AcmeIOError, TypeError):
    """A return value cannot be converted to `result_dtype` without losing meaning."""


class NotStorableError(AcmeIOError, TypeError):
    """A return value can be stored neither in HDF5 nor, if raised for a call, as a pickle."""


class OutputDirError(AcmeIOError, OSError):
    """An output directory cannot be used: it is a file, or not writable."""


class ResultsExistError(AcmeIOError, FileExistsError):
    """An output directory already holds results of the function, or a file to write exists."""


class RunLockError(AcmeIOError, FileExistsError):
    """Another run is writing results of the same function to the same output directory."""


class UnknownFileError(AcmeIOError, ValueError):
    """A file or folder was not written by acme-io, or by a later version of it."""


class DamagedFileError(AcmeIOError, OSError):
    """A file of acme-io is truncated, or its content has changed since it was written."""


class MissingCallError(AcmeIOError, LookupError):
    """A call has no result: it did not finish, or its file is gone or belongs to another run."""


class FailedCallError(AcmeIOError, RuntimeError):
    """A call has no result because the function raised an exception."""

    @classmethod
    def of(cls, call: int, kind: str, message: str, traceback: str) -> "FailedCallError":
        """Return the error for a call, with type, message and traceback of its exception."""
        return cls(f"Call {call} has no result because it failed: {kind}: {message}\n{traceback}")


class PicklesRefusedError(AcmeIOError, ValueError):
    """A result is a pickle, and `allow_pickle` is false."""
