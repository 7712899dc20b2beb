"""Start whichever workers fit this machine."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from acme_cluster.slurm import query

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed import Client

__all__ = ["start_client"]

logger = logging.getLogger(__name__)


def start_client(
    n_workers: int | None = None,
    *,
    n_calls: int | None = None,
    partition: str = "auto",
    mem_per_worker: str = "auto",
    timeout: float = 60,
    interactive: bool = True,
    meanwhile: Callable[[], object] | None = None,
    caller: str = "start_client",
) -> Client:
    """Start the workers that fit this machine and return their client.

    On a machine with SLURM they are jobs, of the site that the machine belongs to if it is a known
    one; elsewhere they are local processes.

    Parameters
    ----------
    n_workers : int, optional
        Number of workers; by default locally one per usable core, on a batch system up to the
        site's limit (100 unless it says otherwise), and nowhere more than one per call.
    n_calls : int, optional
        Number of calls that wait for them.
    partition : str, default "auto"
        Of the batch system, by default the site's or SLURM's default. Local workers have none.
    mem_per_worker : str, default "auto"
        Memory of one worker, such as "8GB".
    timeout : float, default 60
        Seconds to wait for the first workers of a batch system.
    interactive : bool, default True
        Whether questions may be asked at a terminal.
    meanwhile : callable, optional
        Called without arguments, once, while the workers start: imports, for instance, that cost
        nothing there. An exception of it ends the start, and comes out.
    caller : str, default "start_client"
        Function that the user called, for messages about its arguments.

    Returns
    -------
    distributed.Client
        A new client, which is dask's current one from now on.

    Raises
    ------
    TypeError, ValueError, TimeoutError, RuntimeError, OSError
        As for `local_cluster_setup` and `slurm_cluster_setup`.
    """
    if not query.usable():
        return _start_here(
            n_workers, n_calls, partition, mem_per_worker, interactive, meanwhile, caller
        )
    from acme_cluster.setup.batch import start_for_calls

    return start_for_calls(
        n_workers, n_calls, partition, mem_per_worker, timeout, interactive, meanwhile
    )


def _start_here(
    n_workers: int | None,
    n_calls: int | None,
    partition: str,
    mem_per_worker: str,
    interactive: bool,
    meanwhile: Callable[[], object] | None,
    caller: str,
) -> Client:
    """Start local workers for a request that may have been made for a cluster."""
    from acme_cluster.setup.local import start_local, usable_cores

    if partition != "auto":
        logger.warning(
            "<%s> WARNING: There is no SLURM on this machine: partition=%r has no effect, "
            "the workers are started here",
            caller,
            partition,
        )
    cores = usable_cores()
    if n_workers is not None and n_workers > cores:
        logger.warning(
            "<%s> WARNING: %d workers were asked for, this machine has %d cores: %d are started",
            caller,
            n_workers,
            cores,
            cores,
        )
        n_workers = cores
    return start_local(n_workers, n_calls, mem_per_worker, interactive, meanwhile)
