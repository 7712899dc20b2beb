"""From an exception in a call to its record on the client, and back to an exception there."""

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

_OWN = os.path.dirname(os.path.dirname(os.path.realpath(__file__))) + os.sep  # acme_core itself
_EXCEPTION_LIMIT = 1_000_000  # bytes; a larger exception object stays on the worker


def describe(
    error: BaseException,
    arguments: Mapping[str, object] | None = None,
    *,
    keep_exception: bool = True,
) -> CallFailure:
    """Make the record of an exception that a call raised.

    The traceback holds the user's frames alone. The exception itself goes along where it can be
    pickled and read back.

    Parameters
    ----------
    error : BaseException
        The exception.
    arguments : mapping of str to object, optional
        Distributed arguments of the call by parameter name; the record keeps summaries.
    keep_exception : bool
        Whether to keep the exception object beside its text.
    """
    trace = "".join(_without_libraries(traceback.TracebackException.from_exception(error)).format())
    try:
        text = str(error)
    except Exception as unprintable:
        text = f"(its text cannot be had: {unprintable!r})"
    summaries = {name: describe_argument(value) for name, value in (arguments or {}).items()}
    record = Failure(type(error).__name__, text, trace, summaries)
    return CallFailure(record, _pickled(error) if keep_exception else None)


def _pickled(error: BaseException) -> bytes | None:
    try:
        pickled = cloudpickle.dumps(error.with_traceback(None))
        cloudpickle.loads(pickled)
    except Exception:
        return None
    return pickled if len(pickled) <= _EXCEPTION_LIMIT else None


def _without_libraries(trace: traceback.TracebackException) -> traceback.TracebackException:
    """Drop the frames of libraries and of this package, also from what led to the exception.

    Where a library's function is what was called, nothing else would be left: its frames stay.
    """
    kept = [frame for frame in trace.stack if not _is_ours(frame.filename)]
    users = [frame for frame in kept if not _is_foreign(frame.filename)]
    trace.stack = traceback.StackSummary.from_list(users or kept)
    for other in (trace.__cause__, trace.__context__):
        if other is not None:
            _without_libraries(other)
    return trace


@functools.lru_cache(maxsize=1024)
def _is_ours(filename: str) -> bool:
    return os.path.realpath(filename).startswith(_OWN)


@functools.lru_cache(maxsize=1024)
def _is_foreign(filename: str) -> bool:
    return filename.startswith("<frozen") or is_library(filename)


def exception_of(failure: CallFailure) -> BaseException:
    """Bring back the exception of a failed call, or a stand-in that carries its text."""
    if failure.exception is not None:
        try:
            error = cloudpickle.loads(failure.exception)
        except Exception:
            error = None
        if isinstance(error, BaseException):
            error.add_note(f"Raised on a worker:\n{failure.record.traceback}")
            return error
    return RuntimeError(
        f"{failure.record.type}: {failure.record.message}\n{failure.record.traceback}"
    )
