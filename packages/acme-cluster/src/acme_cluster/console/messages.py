"""Log messages on the console while a public function runs.

Messages go through ordinary loggers named by module, and importing this package configures none of
them. Each public function runs inside :func:`shown`, which gives the loggers a level and one
console handler, and restores both at the end::

    shown() ─► loggers at INFO, one handler ─► the call ─► levels and handlers as before
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

__all__ = ["shortened", "shown", "shown_outside_calls"]

OWN_LOGGER = "acme_cluster"


class _CurrentStderr(logging.Handler):
    """Writes to the current `sys.stderr`, which notebooks and test runners replace."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record and flush."""
        # `StreamHandler` would keep the stream of the moment in which it was made. The flush keeps
        # the order between messages and what the program prints.
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:
            self.handleError(record)


class _Console:
    """The console handler, the levels of all active calls, and the levels to restore."""

    def __init__(self) -> None:
        # Reentrant: a signal handler may enter while its own thread is inside.
        self._lock = threading.RLock()
        self._wanted: list[tuple[object, int]] = []
        self._before: dict[str, int] = {}
        self._handler: logging.Handler | None = None

    def enter(self, token: object, level: int, names: Iterable[str]) -> None:
        """Show messages of at least `level` until `token` leaves."""
        with self._lock:
            # Decided once per outermost call: what the user configured does not change inside.
            if not self._wanted and not _root_writes_to_console():
                self._handler = _CurrentStderr()
                self._handler.setFormatter(logging.Formatter("%(message)s"))
            self._attach(names)
            self._wanted.append((token, level))
            self._set_level(level)

    def leave(self, token: object) -> None:
        """Forget the level of `token`; the last to leave restores everything."""
        with self._lock:
            # Not a stack: calls in several threads leave in any order.
            self._wanted = [entry for entry in self._wanted if entry[0] is not token]
            if self._wanted:
                self._set_level(self._wanted[-1][1])
            else:
                self._detach()

    def _attach(self, names: Iterable[str]) -> None:
        for name in names:
            # An inner call may add loggers; those already attached keep their original level.
            if name not in self._before:
                logger = logging.getLogger(name)
                self._before[name] = logger.level
                if self._handler is not None:
                    logger.addHandler(self._handler)

    def _detach(self) -> None:
        for name, level in self._before.items():
            logger = logging.getLogger(name)
            logger.setLevel(level)
            if self._handler is not None:
                logger.removeHandler(self._handler)
        self._before = {}
        self._handler = None

    def _set_level(self, level: int) -> None:
        for name in self._before:
            logging.getLogger(name).setLevel(level)


def _root_writes_to_console() -> bool:
    # Exactly StreamHandler: subclasses write to files, or are pytest's (`LogCaptureHandler`).
    return any(type(handler) is logging.StreamHandler for handler in logging.getLogger().handlers)


_console = _Console()


@contextmanager
def shown(level: int = logging.INFO, loggers: Iterable[str] = ()) -> Iterator[None]:
    """Show messages of this package, and of further loggers, on the console while inside.

    Parameters
    ----------
    level : int, default logging.INFO
        Lowest level to show. Of nested calls the innermost counts.
    loggers : iterable of str, optional
        Names of further loggers, such as those of the calling package.

    Yields
    ------
    None
        Levels and handlers are restored by the outermost call, also after an exception. If the root
        logger already writes to the console, no second handler is attached.
    """
    token = object()
    _console.enter(token, level, (OWN_LOGGER, *loggers))
    try:
        yield
    finally:
        _console.leave(token)


@contextmanager
def shown_outside_calls() -> Iterator[None]:
    """Show warnings of a background task, which runs while no public function does.

    Yields
    ------
    None
        As from :func:`shown`.
    """
    with shown(logging.WARNING):
        yield


def shortened(text: str, width: int = 200) -> str:
    """Return a text cut after a word, with an ellipsis, if it is too long.

    Parameters
    ----------
    text : str
        One line.
    width : int, default 200
        Largest number of characters, ellipsis included.

    Returns
    -------
    str
        `text` itself if it fits.
    """
    if len(text) <= width:
        return text
    head, _, _ = text[: width - 1].rpartition(" ")
    # Not `textwrap.shorten`: it returns only the ellipsis if the first word is too long, as a path
    # or a line of base64 may be.
    return f"{head.rstrip() or text[: width - 2]} …"
