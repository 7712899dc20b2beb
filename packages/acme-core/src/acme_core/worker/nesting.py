"""Whether this code runs inside a call: a `ParallelMap` there starts no workers of its own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

_here = threading.local()
# Threads that a call started, and processes forked from them, are known by the process.
_process_is_a_worker = False


@contextlib.contextmanager
def running_calls(*, nothing_else: bool = False) -> Iterator[None]:
    """Mark the code inside, in this thread, as calls of a run.

    Parameters
    ----------
    nothing_else : bool
        Whether this process runs nothing but calls, now and later.
    """
    global _process_is_a_worker
    _process_is_a_worker = _process_is_a_worker or nothing_else
    before = is_inside_a_call(this_thread_only=True)
    _here.inside = True
    try:
        yield
    finally:
        _here.inside = before


def is_inside_a_call(*, this_thread_only: bool = False) -> bool:
    """Whether this code was called, directly or not, by the function of a run."""
    inside: bool = getattr(_here, "inside", False)
    return inside or (_process_is_a_worker and not this_thread_only)
