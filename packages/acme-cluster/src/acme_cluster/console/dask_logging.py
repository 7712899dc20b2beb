"""Keeping dask's loggers silent for a while, without touching how the user configured logging."""

from __future__ import annotations

import atexit
import functools
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["silence_the_end", "silenced"]

DASK = ("distributed", "bokeh", "tornado")
DASK_AND_LOOP = (*DASK, "asyncio")

_lock = threading.RLock()
_wanted: list[tuple[object, int, tuple[str, ...]]] = []


class _Threshold(logging.Filter):
    """Lets records pass from a level on; on a handler it sees the records of all child loggers."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record may pass: only those of the named loggers are held back."""
        name = record.name.split(".")[0]
        with _lock:
            levels = [level for _, level, names in _wanted if name in names]
        return record.levelno >= max(levels, default=logging.NOTSET)


_threshold = _Threshold()


@contextmanager
def silenced(level: int, names: tuple[str, ...] = DASK) -> Iterator[None]:
    """Hold back messages of other libraries below a level while inside.

    Parameters
    ----------
    level : int
        Least level that still passes.
    names : tuple of str, default DASK
        Top-level loggers; `DASK_AND_LOOP` also has asyncio's, which complains about what is cut
        short.

    Yields
    ------
    None
        The highest level of everybody inside counts. Levels and handlers of loggers are never
        changed: the handlers that print get a filter, and lose it when the last one leaves.
    """
    token = object()
    handlers = _handlers()
    with _lock:
        _wanted.append((token, level, names))
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
    if logging.lastResort is not None:
        handlers.append(logging.lastResort)
    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] in DASK_AND_LOOP:
            handlers += logging.getLogger(name).handlers
    unique = dict.fromkeys(handlers)
    return [handler for handler in unique if isinstance(handler, logging.StreamHandler)]


@functools.cache
def silence_the_end() -> None:
    """Hold back what dask says while the program ends, from when its clusters are closed.

    Its loops run on for a moment, and note each connection that goes. dask closes what is open in a
    function for the end of the program; this one is registered later and therefore called before.
    """
    import distributed.deploy.spec  # noqa: F401  (registers that function)

    atexit.register(silenced(logging.CRITICAL + 1, DASK_AND_LOOP).__enter__)
