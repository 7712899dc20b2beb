"""SIGTERM ends a run as Ctrl-C does, also where ACME did not start the workers.

SLURM sends it when a job's time is up. For workers that ACME started, `acme_cluster` handles it for
as long as they live.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# Runs that are active now, in any thread. They end in any order: of two loops that take turns, each
# may be the first to end.
_active: set[object] = set()
_lock = threading.RLock()


@contextmanager
def sigterm_as_exception() -> Iterator[None]:
    """Let SIGTERM raise `SystemExit` in the main thread while inside.

    A handler of the user stays in place, and only the main thread may set one.
    """
    token = object()
    with _lock:
        _active.add(token)
    if _in_main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        with _lock:
            _active.discard(token)
        # Another thread cannot restore the default; `_end` does it then.
        if not _active and _in_main_thread() and signal.getsignal(signal.SIGTERM) is _end:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _end(number: int, _frame: FrameType | None) -> None:
    if not _active:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        return
    raise SystemExit(128 + number)  # the exit code of a shell for a process that a signal ended
