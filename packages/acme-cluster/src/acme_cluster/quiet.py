"""Keeping dask's loggers silent for a while, without touching how the user configured logging."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["silenced"]

_NAMES = ("distributed", "bokeh", "tornado")

_lock = threading.RLock()
_wanted: list[tuple[object, int]] = []


class _Threshold(logging.Filter):
    """Lets records pass from a level on; on a handler it sees the records of all child loggers."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record may pass: only dask's own are held back."""
        with _lock:
            level = max((level for _, level in _wanted), default=logging.NOTSET)
        return record.levelno >= level or record.name.split(".")[0] not in _NAMES


_threshold = _Threshold()


@contextmanager
def silenced(level: int) -> Iterator[None]:
    """Hold back messages of distributed, bokeh and tornado below a level while inside.

    Parameters
    ----------
    level : int
        Least level that still passes.

    Yields
    ------
    None
        The highest level of everybody inside counts. Levels and handlers of loggers are never
        changed: the handlers that print get a filter, and lose it when the last one leaves.
    """
    token = object()
    handlers = _handlers()
    with _lock:
        _wanted.append((token, level))
    for handler in handlers:
        handler.addFilter(_threshold)
    try:
        yield
    finally:
        with _lock:
            _wanted[:] = [entry for entry in _wanted if entry[0] is not token]
            last = not _wanted
        if last:
            for handler in handlers:
                handler.removeFilter(_threshold)


def _handlers() -> list[logging.Handler]:
    handlers = list(logging.getLogger().handlers)
    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] in _NAMES:
            handlers += logging.getLogger(name).handlers
    unique = dict.fromkeys(handlers)
    return [handler for handler in unique if isinstance(handler, logging.StreamHandler)]
