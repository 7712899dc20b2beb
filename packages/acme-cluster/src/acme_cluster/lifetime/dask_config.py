"""dask settings for many processes on few cores, for nodes shared with other people, and long use.

By default each worker and each nanny wakes up two hundred times a second to measure delays. That
takes 2 % of a core per process; thirty-two workers with their nannies on two cores leave hardly any
time for calls.

By default the scheduler, each worker and each connection between them also keep the last thousand
events or messages, for dask's developers. A message may have hundreds of kilobytes.
"""

from __future__ import annotations

from typing import Any

import dask
import distributed  # noqa: F401  (its defaults are what is compared with)

__all__ = ["WORKER_RULES", "calm"]

# Above 60 and 70 % of its memory limit dask moves results to disk, but here calls keep none; above
# 80 % it pauses the worker, for ever if its memory does not shrink. Only the last resort stays: at
# 95 % the nanny kills the worker.
WORKER_RULES: dict[str, Any] = {
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    # Workers serve no pages, so no modules for them are imported.
    "distributed.worker.http.routes": [],
}

_CALM = {
    # Measures whether the event loop is late; warnings start at three seconds.
    "distributed.admin.tick.interval": "1s",
    # Samples CPU and memory of each process, for the dashboard.
    "distributed.admin.system-monitor.interval": "2s",
    # Samples the call stack, for the dashboard's profile.
    "distributed.worker.profile.interval": "500ms",
    # The nanny checks the memory of its worker.
    "distributed.worker.memory.monitor-interval": "200ms",
    # Logs of messages, events, transitions and profiles (one entry a second, which the dashboard
    # shows). Not 0: without any, profiles are empty.
    "distributed.admin.low-level-log-length": 10,
    # Groups of tasks that are done, for the dashboard's progress bars.
    "distributed.diagnostics.computations.max-history": 10,
}


def calm() -> dict[str, Any]:
    """Return settings with which idle workers use next to no CPU, and ended tasks no memory.

    Returns
    -------
    dict of str to object
        For `dask.config.set`, without those that the user has changed.
    """
    return {key: value for key, value in _CALM.items() if dask.config.get(key) == _default(key)}


def _default(key: str) -> Any:
    value = None
    defaults: Any
    for defaults in dask.config.defaults:
        value = dask.config.get(key, default=value, config=defaults)
    return value
