"""Silencing dask's loggers for a while, without changing how the user configured logging.

A filter on the handlers does it. Levels of loggers are the user's to set, and a filter on a logger
does not see the records of its children (`distributed.core` and so on).
"""

from __future__ import annotations

import atexit
import functools
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["silence_the_end", "silenced"]

# dask's own logger and those of the libraries that it serves pages and connections with.
DASK = ("distributed", "bokeh", "tornado")
DASK_AND_LOOP = (*DASK, "asyncio")

# Reentrant: a signal handler may log while its thread is inside.
_lock = threading.RLock()
# Token, level and loggers of each `silenced` block that is active now, in any thread.
_wanted: list[tuple[object, int, tuple[str, ...]]] = []


class _Threshold(logging.Filter):
    """Rejects records of silenced loggers below the highest level asked for."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record may pass; records of other loggers always do."""
        name = record.name.split(".")[0]
        with _lock:
            levels = [level for _, level, names in _wanted if name in names]
        return record.levelno >= max(levels, default=logging.NOTSET)


_threshold = _Threshold()


@contextmanager
def silenced(level: int, names: tuple[str, ...] = DASK) -> Iterator[None]:
    """Suppress messages of other libraries below a level while inside.

    Parameters
    ----------
    level : int
        Lowest level that still passes.
    names : tuple of str, default DASK
        Top-level loggers. `DASK_AND_LOOP` adds asyncio's, which reports tasks that are cut short.

    Yields
    ------
    None
        Of several active blocks the highest level counts. Loggers are not changed: handlers that
        print get a filter, which the last block removes.
    """
    # Compared by identity, so two blocks with equal arguments stay apart.
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
    """Return the handlers that could print messages of dask."""
    handlers = list(logging.getLogger().handlers)
    # Python's handler for loggers without one; it prints warnings to standard error.
    if logging.lastResort is not None:
        handlers.append(logging.lastResort)
    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] in DASK_AND_LOOP:
            handlers += logging.getLogger(name).handlers
    # distributed attaches one handler to several of its loggers.
    unique = dict.fromkeys(handlers)
    return [handler for handler in unique if isinstance(handler, logging.StreamHandler)]


@functools.cache
def silence_the_end() -> None:
    """Silence dask from the moment in which the program ends and clusters are closed.

    dask's event loops run on for a moment, and would log each connection that is closed.
    """
    # `atexit` calls the function registered last first: dask's own, which closes clusters, has to
    # be registered before this one.
    import distributed.deploy.spec  # noqa: F401  (registers dask's function)

    # Entered and never left: the process ends.
    atexit.register(silenced(logging.CRITICAL + 1, DASK_AND_LOOP).__enter__)
