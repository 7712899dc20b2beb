"""How worker processes are made: by this room, or by distributed alone.

One switch decides, `acme.local.fork-server` in dask's configuration (default true). Where `probe`
finds other internals than expected, distributed's own way is taken with a warning.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import dask
import distributed

from acme_cluster.internals import fork_server, probe

if TYPE_CHECKING:
    from distributed.security import Security

    from acme_cluster.internals.local_workers import LocalWorkers
    from acme_cluster.internals.stock import StockLocalWorkers

__all__ = ["nanny_options", "new_local_workers", "own_processes"]

logger = logging.getLogger(__name__)


def own_processes() -> bool:
    """Return whether workers come from our fork server and classes, not from distributed's."""
    if not dask.config.get(fork_server.SWITCH, True):
        return False
    found = probe.findings()
    if found:
        _warn(tuple(found))
    return not found


@functools.cache
def _warn(found: tuple[str, ...]) -> None:
    more = f" and {len(found) - 1} more differences" if len(found) > 1 else ""
    logger.warning(
        "<acme_cluster> WARNING: distributed %s is not one that the quick start of workers was "
        "made for (%s%s). Workers start through distributed's own nannies, half a second later; "
        "results are the same. To silence this, set `%s: false` in dask's configuration.",
        version("distributed"),
        found[0],
        more,
        fork_server.SWITCH,
    )


def new_local_workers(
    n_workers: int, memory: int, security: Security | None, shares: Sequence[str] = ()
) -> LocalWorkers | StockLocalWorkers:
    """Return a cluster on this machine, whose workers start when it is connected to.

    Parameters
    ----------
    n_workers : int
        Number of worker processes.
    memory : int
        Limit of each in bytes.
    security : distributed.security.Security or None
        Keys of the cluster; None for none.
    shares : sequence of str, optional
        `CUDA_VISIBLE_DEVICES` of each worker; without, they have that of this process.
    """
    if own_processes():
        from acme_cluster.internals.local_workers import LocalWorkers

        fork_server.warm_up()
        return LocalWorkers(n_workers, memory, security, shares)
    from acme_cluster.internals.stock import StockLocalWorkers

    # `warm_up` may have started one before the configuration could be read.
    fork_server.stop()
    return StockLocalWorkers(n_workers, memory, security, shares)


def nanny_options(cores: int) -> tuple[type[Any], dict[str, Any]]:
    """Return the class of a job's nannies, and the options that depend on it.

    Parameters
    ----------
    cores : int
        Cores of each worker.

    Returns
    -------
    cls : type
        The class.
    options : dict
        Keywords for it. `env` is among them, for more environment variables of the worker.
    """
    if own_processes():
        from acme_cluster.internals.nanny import LocalNanny, SilentWorker

        return LocalNanny, {"cores": cores, "worker_class": SilentWorker, "env": {}}
    from acme_cluster.internals.stock import worker_environment

    fork_server.stop()
    return distributed.Nanny, {"env": worker_environment(cores)}
