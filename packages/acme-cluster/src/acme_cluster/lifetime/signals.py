"""An orderly end on SIGTERM and SIGHUP while a cluster is alive.

By default SIGTERM (from `kill` or a batch system) and SIGHUP (a lost ssh connection) end Python at
once: no `finally` block and no `atexit` function runs, and the jobs of a cluster stay in the queue.
While a cluster is alive, and only if the program has no handlers of its own, these signals raise
`SystemExit` in the main thread instead.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from acme_cluster.console.messages import shown

__all__ = ["guard", "release", "uninterrupted"]

logger = logging.getLogger(__name__)

_lock = threading.Lock()
# Identities and not the objects: a cluster that nobody uses any more may be collected.
_clusters: set[int] = set()
_guarded: list[signal.Signals] = []


def guard(cluster: object) -> None:
    """Handle SIGTERM and SIGHUP until the cluster is released.

    Outside the main thread this does nothing, because Python sets signal handlers only there. If
    such a program is killed, its workers notice the lost scheduler and end.

    Parameters
    ----------
    cluster : object
        The cluster, for :func:`release`.
    """
    with _lock:
        _clusters.add(id(cluster))
        if _guarded or threading.current_thread() is not threading.main_thread():
            return
        # Windows has no SIGHUP.
        for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
            # A program's own handler, and a signal that is ignored (nohup), stay.
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, _end)
                _guarded.append(number)


def release(cluster: object) -> None:
    """Restore the default handling when the last cluster is released.

    Parameters
    ----------
    cluster : object
        As given to :func:`guard`; any other object is ignored.
    """
    with _lock:
        _clusters.discard(id(cluster))
        if _clusters or threading.current_thread() is not threading.main_thread():
            return
        for number in _guarded:
            # The program may have set a handler of its own since.
            if signal.getsignal(number) is _end:
                signal.signal(number, signal.SIG_DFL)
        _guarded.clear()


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold signals back during a short step that must not be interrupted.

    Yields
    ------
    None
        Signals that arrive inside are raised again at the end, each once.
    """
    # Handlers run in the main thread only, so other threads are never interrupted.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[int] = []
    before = {}
    for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        before[number] = signal.signal(number, lambda arrived, _frame: waiting.append(arrived))
    try:
        yield
    finally:
        for number, handler in before.items():
            # None stands for a handler that was not set by Python, and cannot be restored.
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        for number in dict.fromkeys(waiting):
            signal.raise_signal(number)


def _end(number: int, _frame: FrameType | None) -> None:
    if not _clusters:
        # The last cluster was closed in another thread, which could not restore the default.
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        return
    with shown():
        logger.warning(
            "<acme_cluster> WARNING: Received %s: stopping the workers",
            signal.Signals(number).name,
        )
    # The exit code that a shell reports for a process ended by this signal.
    raise SystemExit(128 + number)
