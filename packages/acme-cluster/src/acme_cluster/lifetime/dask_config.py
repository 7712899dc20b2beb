"""dask settings with which many processes share few cores, and nodes with other people's work.

By default each worker and each nanny wakes up two hundred times a second to see whether anything
is slow. One process costs a fiftieth of a core that way; thirty-two workers with their nannies on
a machine with two cores leave hardly any time for calls.
"""

from __future__ import annotations

from typing import Any

import dask
import distributed  # noqa: F401  (its defaults are what is compared with)

__all__ = ["WORKER_RULES", "calm"]

# dask would pause a worker above 80 % of its memory, for ever if the memory does not shrink, and
# move results to disk that are not there: calls hand their results on at once. Only the last resort
# stays, the end of the worker.
WORKER_RULES: dict[str, Any] = {
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    # Workers serve no pages: there is nothing to import for them.
    "distributed.worker.http.routes": [],
}

_CALM = {
    # Notes when an event loop is late; it warns from three seconds on.
    "distributed.admin.tick.interval": "1s",
    # Processor and memory of each process, for the dashboard.
    "distributed.admin.system-monitor.interval": "2s",
    # Samples of the call stack, for the dashboard's profile.
    "distributed.worker.profile.interval": "500ms",
    # The nanny's look at its worker's memory.
    "distributed.worker.memory.monitor-interval": "200ms",
}


def calm() -> dict[str, Any]:
    """Return the settings that let idle workers be idle.

    Returns
    -------
    dict of str to object
        For `dask.config.set`; without those that the user has set to something of their own.
    """
    return {key: value for key, value in _CALM.items() if dask.config.get(key) == _default(key)}


def _default(key: str) -> Any:
    value = None
    defaults: Any
    for defaults in dask.config.defaults:
        value = dask.config.get(key, default=value, config=defaults)
    return value
