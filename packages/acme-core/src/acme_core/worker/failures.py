"""Turns an exception of a call into a record, and the record into an exception on the client."""

from __future__ import annotations

import functools
import os
import traceback
from collections.abc import Mapping

import cloudpickle

from acme_core.transport.protocol import CallFailure
from acme_core.worker.libraries import is_library
from acme_io.backend import Failure
from acme_io.backend import describe as describe_argument

# The folder of acme_core.
_OWN = os.path.dirname(os.path.dirname(os.path.realpath(__file__))) + os.sep
# Bytes up to which a pickled exception travels: it may hold the arrays that the call worked on.
_EXCEPTION_LIMIT = 1_000_000


def describe(
    error: BaseException,
    arguments: Mapping[str, object] | None = None,
    *,
    keep_exception: bool = True,
) -> CallFailure:
    """Return the record of an exception that a call raised, and the exception if it is picklable.

    The traceback holds the user's frames only.

    Parameters
    ----------
    error : BaseException
        The exception.
    arguments : mapping of str to object, optional
        Distributed arguments of the call by parameter name; the record keeps summaries.
    keep_exception : bool
        Whether to keep the exception object besides its text.
    """
    trace = "".join(_without_libraries(traceback.TracebackException.from_exception(error)).format())
    try:
        text = str(error)
    except Exception as unprintable:  # `__str__` is the user's code
        text = f"(no text: str() raised {unprintable!r})"
    summaries = {name: describe_argument(value) for name, value in (arguments or {}).items()}
    record = Failure(type(error).__name__, text, trace, summaries)
    return CallFailure(record, _pickled(error) if keep_exception else None)


def _pickled(error: BaseException) -> bytes | None:
    try:
        # The traceback cannot be pickled. It would also keep the arguments of the call alive.
        pickled = cloudpickle.dumps(error.with_traceback(None))
        # Exceptions whose `__init__` takes other arguments than `args` fail only when loaded.
        cloudpickle.loads(pickled)
    except Exception:
        return None
    return pickled if len(pickled) <= _EXCEPTION_LIMIT else None


def _without_libraries(trace: traceback.TracebackException) -> traceback.TracebackException:
    """Drop frames of libraries and of this package, also from causes and contexts.

    If the failed call is that of a library's function, no other frame is left: its frames stay.
    """
    kept = [frame for frame in trace.stack if not _is_ours(frame.filename)]
    users = [frame for frame in kept if not _is_foreign(frame.filename)]
    trace.stack = traceback.StackSummary.from_list(users or kept)
    for other in (trace.__cause__, trace.__context__):
        if other is not None:
            _without_libraries(other)
    return trace


# Cached: thousands of calls may fail in the same way, and resolving a path asks the file system.
@functools.lru_cache(maxsize=1024)
def _is_ours(filename: str) -> bool:
    return os.path.realpath(filename).startswith(_OWN)


@functools.lru_cache(maxsize=1024)
def _is_foreign(filename: str) -> bool:
    return filename.startswith("<frozen") or is_library(filename)


def exception_of(failure: CallFailure) -> BaseException:
    """Return the exception of a failed call, or a `RuntimeError` with its text."""
    if failure.exception is not None:
        try:
            error = cloudpickle.loads(failure.exception)
        except Exception:  # its class cannot be imported here
            error = None
        if isinstance(error, BaseException):
            error.add_note(f"Raised on a worker:\n{failure.record.traceback}")
            return error
    return RuntimeError(
        f"{failure.record.type}: {failure.record.message}\n{failure.record.traceback}"
    )
