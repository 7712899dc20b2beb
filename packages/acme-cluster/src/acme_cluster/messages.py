"""Showing the log messages of these packages, without configuring `logging` for good.

Messages go through ordinary loggers named by module. Nothing is attached at import. While a
user-facing call runs it is inside :func:`shown`, which gives the packages' loggers a level and one
console handler, and takes both away again::

    shown() -> loggers at INFO, one handler -> ... -> as before
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["shortened", "shown", "shown_outside_calls"]

LOGGERS = ("acme_core", "acme_cluster", "acme_io")


class _CurrentStderr(logging.Handler):
    """Writes to whatever `sys.stderr` is at that moment: notebooks and test runners exchange it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record and flush, so that it stands before what is printed next."""
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:
            self.handleError(record)


class _Console:
    """The one handler, the levels asked for by everybody inside, and the levels from before."""

    def __init__(self) -> None:
        # Reentrant: a signal handler may have something to say in the middle of this.
        self._lock = threading.RLock()
        self._wanted: list[tuple[object, int]] = []
        self._before: dict[str, int] = {}
        self._handler: logging.Handler | None = None

    def enter(self, token: object, level: int) -> None:
        """Start showing messages of at least `level` on behalf of `token`."""
        with self._lock:
            if not self._wanted:
                self._attach()
            self._wanted.append((token, level))
            self._set_level(level)

    def leave(self, token: object) -> None:
        """End what `token` asked for; the last one out restores everything."""
        with self._lock:
            self._wanted = [entry for entry in self._wanted if entry[0] is not token]
            if self._wanted:
                self._set_level(self._wanted[-1][1])
            else:
                self._detach()

    def _attach(self) -> None:
        self._before = {name: logging.getLogger(name).level for name in LOGGERS}
        if _root_writes_to_console():
            return
        self._handler = _CurrentStderr()
        self._handler.setFormatter(logging.Formatter("%(message)s"))
        for name in LOGGERS:
            logging.getLogger(name).addHandler(self._handler)

    def _detach(self) -> None:
        for name, level in self._before.items():
            logger = logging.getLogger(name)
            logger.setLevel(level)
            if self._handler is not None:
                logger.removeHandler(self._handler)
        self._handler = None

    def _set_level(self, level: int) -> None:
        for name in LOGGERS:
            logging.getLogger(name).setLevel(level)


def _root_writes_to_console() -> bool:
    # Exactly StreamHandler: its subclasses write to files, or belong to a test runner.
    return any(type(handler) is logging.StreamHandler for handler in logging.getLogger().handlers)


_console = _Console()


@contextmanager
def shown(level: int = logging.INFO) -> Iterator[None]:
    """Show the messages of the ACME packages on the console while inside.

    Parameters
    ----------
    level : int, default logging.INFO
        Least level that is shown. Of nested calls the innermost one counts.

    Yields
    ------
    None
        Levels and handlers are as before after the outermost one has been left, also by an
        exception. A root logger that already writes to the console is left to do so; no second
        handler is attached.
    """
    token = object()
    _console.enter(token, level)
    try:
        yield
    finally:
        _console.leave(token)


@contextmanager
def shown_outside_calls() -> Iterator[None]:
    """Show warnings of what happens at any time, also while the user's program does other things.

    Yields
    ------
    None
        As from `shown`.
    """
    with shown(logging.WARNING):
        yield


def shortened(text: str, width: int = 200) -> str:
    """Return a text that is cut after a word, and ends in an ellipsis, if it is too long.

    Parameters
    ----------
    text : str
        One line.
    width : int, default 200
        Largest number of characters.

    Returns
    -------
    str
        `text` itself if it fits.
    """
    if len(text) <= width:
        return text
    head, _, _ = text[: width - 1].rpartition(" ")
    # `textwrap.shorten` returns nothing but the ellipsis if the first word is too long.
    return f"{head.rstrip() or text[: width - 2]} …"
