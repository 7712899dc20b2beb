"""Show log messages on the console for the duration of a call.

Messages go through ordinary loggers named by module; importing this package configures none of
them. Each user-facing call runs inside :func:`shown`, which gives the loggers a level and one
console handler, and restores both at the end::

    shown() -> loggers at INFO, one handler -> ... -> as before
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
    """Writes to the `sys.stderr` of the moment: notebooks and test runners replace it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record and flush, so that it stands before what is printed next."""
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:
            self.handleError(record)


class _Console:
    """The one handler, the levels wanted by all calls inside, and the levels to restore."""

    def __init__(self) -> None:
        # Reentrant: a signal handler may log in the middle of this.
        self._lock = threading.RLock()
        self._wanted: list[tuple[object, int]] = []
        self._before: dict[str, int] = {}
        self._handler: logging.Handler | None = None

    def enter(self, token: object, level: int, names: Iterable[str]) -> None:
        """Start showing messages of at least `level` on behalf of `token`."""
        with self._lock:
            if not self._wanted and not _root_writes_to_console():
                self._handler = _CurrentStderr()
                self._handler.setFormatter(logging.Formatter("%(message)s"))
            self._attach(names)
            self._wanted.append((token, level))
            self._set_level(level)

    def leave(self, token: object) -> None:
        """End what `token` asked for; the last call to leave restores everything."""
        with self._lock:
            self._wanted = [entry for entry in self._wanted if entry[0] is not token]
            if self._wanted:
                self._set_level(self._wanted[-1][1])
            else:
                self._detach()

    def _attach(self, names: Iterable[str]) -> None:
        for name in names:
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
    # Exactly StreamHandler: its subclasses write to files, or belong to a test runner.
    return any(type(handler) is logging.StreamHandler for handler in logging.getLogger().handlers)


_console = _Console()


@contextmanager
def shown(level: int = logging.INFO, loggers: Iterable[str] = ()) -> Iterator[None]:
    """Show messages of this package, and of further loggers, on the console while inside.

    Parameters
    ----------
    level : int, default logging.INFO
        Least level to show. Of nested calls the innermost one counts.
    loggers : iterable of str, optional
        Names of further loggers, such as those of the calling package.

    Yields
    ------
    None
        The outermost call restores levels and handlers, also after an exception. If the root
        logger writes to the console already, no second handler is attached.
    """
    token = object()
    _console.enter(token, level, (OWN_LOGGER, *loggers))
    try:
        yield
    finally:
        _console.leave(token)


@contextmanager
def shown_outside_calls() -> Iterator[None]:
    """Show warnings from background tasks, while the user's program does something else.

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
