"""Workers as jobs on a machine with SLURM, as local processes elsewhere."""

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
    gpus_per_worker: int | None = None,
    timeout: float = 60,
    interactive: bool = True,
    meanwhile: Callable[[], object] | None = None,
    caller: str = "start_client",
) -> Client:
    """Start workers in the way that fits this machine.

    On a machine with SLURM they are jobs, with the settings of the site that the machine belongs
    to. Elsewhere they are local processes.

    Parameters
    ----------
    n_workers : int, optional
        Number of workers. By default one per call, at most one per usable core locally, at most
        the site's `max_workers` (100 by default) on SLURM, and no more than there are GPUs for.
    n_calls : int, optional
        Number of calls that the workers will run, if known.
    partition : str, default "auto"
        SLURM partition; "auto" is the default of the site or of SLURM. Ignored for local workers,
        with a warning.
    mem_per_worker : str, default "auto"
        Memory of one worker, such as "8GB".
    gpus_per_worker : int, optional
        GPUs that each worker has to itself.
    timeout : float, default 60
        Seconds to wait for the first worker on SLURM.
    interactive : bool, default True
        Whether to ask questions at a terminal.
    meanwhile : callable, optional
        Called once, without arguments, while the workers start; for imports, which cost no time
        there. Its exceptions end the start and are raised unchanged.
    caller : str, default "start_client"
        Name of the calling function, for messages about its arguments.

    Returns
    -------
    distributed.Client
        A new client, which becomes dask's current client.

    Raises
    ------
    TypeError, ValueError, TimeoutError, RuntimeError, OSError
        As for `local_cluster_setup` and `slurm_cluster_setup`.
    """
    # The imports below take most of the time of a start, so each branch makes only its own.
    if not query.usable():
        return _start_here(
            n_workers, n_calls, partition, mem_per_worker, gpus_per_worker, interactive, meanwhile,
            caller,
        )  # fmt: skip
    from acme_cluster.setup.batch import start_for_calls

    return start_for_calls(
        n_workers, n_calls, partition, mem_per_worker, timeout, interactive, meanwhile,
        gpus_per_worker,
    )  # fmt: skip


def _start_here(
    n_workers: int | None,
    n_calls: int | None,
    partition: str,
    mem_per_worker: str,
    gpus_per_worker: int | None,
    interactive: bool,
    meanwhile: Callable[[], object] | None,
    caller: str,
) -> Client:
    """Start local workers for arguments that may have been written for a cluster."""
    from acme_cluster.setup.local import start_local, usable_cores

    if partition != "auto":
        logger.warning(
            "<%s> WARNING: There is no SLURM on this machine: partition=%r has no effect, "
            "the workers are started here",
            caller,
            partition,
        )
    # A script written for 50 jobs must not start 50 processes on a laptop.
    cores = usable_cores()
    if n_workers is not None and n_workers > cores:
        logger.warning(
            "<%s> WARNING: This machine has %d cores: of %d workers, %d are started",
            caller,
            cores,
            n_workers,
            cores,
        )
        n_workers = cores
    return start_local(n_workers, n_calls, mem_per_worker, interactive, meanwhile, gpus_per_worker)
