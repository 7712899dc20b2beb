"""The current client: how to find it, and how to close it."""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["close_client", "current_client", "find_client"]

logger = logging.getLogger(__name__)

# A scheduler on the other side of a cluster answers in milliseconds; one that takes longer is gone.
_ANSWER_TIME = 10.0


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
    logger.info("<acme_cluster> INFO: Closing %s, which has no live workers", client)
    close_client(client)


def close_client(client: Client, timeout: float = 10) -> None:
    """Close a client and the cluster that belongs to it, without a word.

    Parameters
    ----------
    client : distributed.Client
        May be closed already, and its scheduler may be dead.
    timeout : float, default 10
        Seconds for each of the two.
    """
    cluster: Any = client.cluster
    quietly = getattr(cluster, "quietly", contextlib.nullcontext)
    with quietly():
        # What goes wrong here goes wrong with something that ends anyway: a dead scheduler, a
        # stopped loop.
        with contextlib.suppress(OSError, TimeoutError, RuntimeError):
            client.close(timeout=timeout)
        if cluster is not None:
            with contextlib.suppress(OSError, TimeoutError, RuntimeError):
                cluster.close(timeout=timeout)
