"""Which client is there already, and how to start one that fits this machine."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed import Client

__all__ = ["connect", "current_client", "find_client", "start_client"]

logger = logging.getLogger(__name__)

# A scheduler on the other side of a cluster answers in milliseconds; one that takes longer is gone.
_ANSWER_TIME = 10.0
# Seconds for which messages to the scheduler are collected. dask's own 10 ms delay the first calls
# of each run, since something is always said before them.
_COLLECTING_TIME = 0.001


def connect(cluster: Any) -> Client:
    """Return a new client of a cluster that was started here.

    Parameters
    ----------
    cluster : distributed.deploy.Cluster
        A cluster of this package.

    Returns
    -------
    distributed.Client
        dask's current client from now on.
    """
    from distributed import Client

    client = Client(cluster)
    messages: Any = client.scheduler_comm
    if messages is not None:
        messages.interval = _COLLECTING_TIME
    return client


def current_client() -> Client | None:
    """Return the client that computations on this process would use.

    Returns
    -------
    distributed.Client or None
        The current client of dask, however it was made, if it has at least one live worker (or, for
        a cluster of a batch system that was started here, jobs that wait in the queue). One without
        is closed and None returned. distributed is not imported for this.
    """
    found = find_client()
    return None if found is None else found[0]


def find_client() -> tuple[Client, dict[str, int]] | None:
    """Find the current client together with its workers, in one question to the scheduler.

    Returns
    -------
    client : distributed.Client
        As `current_client` returns it; None instead of both if there is none.
    workers : dict of str to int
        Addresses of the live workers, and their numbers of threads.
    """
    if "distributed" not in sys.modules:
        return None
    from distributed import Client

    try:
        client: Client = Client.current()
    except ValueError:
        return None
    if client.asynchronous:
        return None
    workers = _live_workers(client) if client.status == "running" else {}
    if workers or (client.status == "running" and _growing(client)):
        return client, workers
    _forget(client)
    return None


def _live_workers(client: Client) -> dict[str, int]:
    async def identity() -> dict[str, Any]:
        scheduler: Any = client.scheduler
        answer: dict[str, Any] = await scheduler.identity()
        return answer

    try:
        workers = client.sync(identity, callback_timeout=_ANSWER_TIME)["workers"]
    except (OSError, TimeoutError, RuntimeError):
        return {}
    return {address: int(worker["nthreads"]) for address, worker in workers.items()}


def _growing(client: Client) -> bool:
    return bool(getattr(client.cluster, "still_growing", False))


def _forget(client: Client) -> None:
    from acme_cluster.cleanup import close_client

    logger.info("<acme_cluster> INFO: Closing %s, which has no live workers", client)
    close_client(client)


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
    from acme_cluster import slurm_info

    if not slurm_info.usable():
        return _start_here(
            n_workers, n_calls, partition, mem_per_worker, interactive, meanwhile, caller
        )
    from acme_cluster.starting import start_for_calls

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
    from acme_cluster.local import start_local, usable_cores

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
