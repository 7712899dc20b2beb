"""Turning the signals that end a program into an orderly end, while a cluster of ours is alive.

SIGTERM (a batch system, `kill`) and SIGHUP (a lost ssh connection) end Python at once: no
`finally`, no `atexit`, and the jobs of a cluster stay in the queue. While a cluster lives, and only
if the program has no handlers of its own, they raise `SystemExit` in the main thread instead, so
that everything that is open is closed on the way out.
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
_clusters: set[int] = set()
_guarded: list[signal.Signals] = []


def guard(cluster: object) -> None:
    """Handle the ending signals from now on, on behalf of a cluster.

    Parameters
    ----------
    cluster : object
        Whatever :func:`release` will be called with. Outside the main thread Python allows no
        handlers: then nothing changes, and the workers find out by themselves.
    """
    with _lock:
        _clusters.add(id(cluster))
        if _guarded or threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
            # A program's own handler, and a signal that is ignored (nohup), stay.
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, _end)
                _guarded.append(number)


def release(cluster: object) -> None:
    """Give the signals back when the last cluster has gone.

    Parameters
    ----------
    cluster : object
        As given to :func:`guard`; one that was not is ignored.
    """
    with _lock:
        _clusters.discard(id(cluster))
        if _clusters or threading.current_thread() is not threading.main_thread():
            return
        for number in _guarded:
            if signal.getsignal(number) is _end:
                signal.signal(number, signal.SIG_DFL)
        _guarded.clear()


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Keep signals out of a short step that has to happen whole; they are delivered after it."""
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
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        for number in dict.fromkeys(waiting):
            signal.raise_signal(number)


def _end(number: int, _frame: FrameType | None) -> None:
    if not _clusters:
        # The last cluster went in another thread, which could not give the signal back.
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        return
    with shown():
        logger.warning(
            "<acme_cluster> WARNING: Received %s: stopping the workers",
            signal.Signals(number).name,
        )
    raise SystemExit(128 + number)
