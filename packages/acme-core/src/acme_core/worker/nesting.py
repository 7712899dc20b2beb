"""Whether this code runs inside a call: a `ParallelMap` there starts no workers of its own."""

from __future__ import annotations

import contextlib
import multiprocessing
import threading
from collections.abc import Iterator

_here = threading.local()
# Threads and processes that a call started are known by the process: nothing but calls runs there.
_process_is_a_worker = False


@contextlib.contextmanager
def running_calls() -> Iterator[None]:
    """Mark the code inside as calls of a run, in this thread."""
    global _process_is_a_worker
    # Not where dask's workers are threads of the user's process, which is nobody's child.
    _process_is_a_worker = _process_is_a_worker or multiprocessing.parent_process() is not None
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
