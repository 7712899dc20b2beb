"""The current client: how to find it, and how to close it."""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["close_client", "current_client", "find_client", "log_attaching"]

logger = logging.getLogger(__name__)

# Seconds to wait for the answer of a scheduler; even across a cluster it takes milliseconds.
_ANSWER_TIME = 10.0


def current_client() -> Client | None:
    """Return the client that computations in this process would use.

    Returns
    -------
    distributed.Client or None
        dask's current client, however it was made, if it has at least one live worker (or, for a
        batch cluster started here, jobs that wait in the queue). A client without is closed.
        distributed is not imported for this.
    """
    found = find_client()
    return None if found is None else found[0]


def find_client() -> tuple[Client, dict[str, int]] | None:
    """Return the current client and its workers, with a single request to the scheduler.

    Returns
    -------
    client : distributed.Client
        As from `current_client`; None instead of the pair if there is none.
    workers : dict of str to int
        Addresses of the live workers and their thread counts.
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


def log_attaching(client: Client, caller: str, gpus: int) -> None:
    """Log that an existing client is used, and which options therefore have no effect.

    Parameters
    ----------
    client : distributed.Client
        The existing client.
    caller : str
        Name of the public function that was called.
    gpus : int
        GPUs per worker that it was asked for.
    """
    logger.info("<%s> INFO: Attaching to global parallel computing client %s", caller, client)
    if gpus:
        logger.warning(
            "<%s> WARNING: gpus_per_worker has no effect, because the existing workers are used. "
            "To start others, call cluster_cleanup() first.",
            caller,
        )


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
    """Close a client and its cluster silently.

    Parameters
    ----------
    client : distributed.Client
        The client; it may be closed and its scheduler dead.
    timeout : float, default 10
        Seconds for each of the two.
    """
    cluster: Any = client.cluster
    quietly = getattr(cluster, "quietly", contextlib.nullcontext)
    with quietly():
        # Errors here come from what is ending anyway: a dead scheduler, a stopped event loop.
        with contextlib.suppress(OSError, TimeoutError, RuntimeError):
            client.close(timeout=timeout)
        if cluster is not None:
            with contextlib.suppress(OSError, TimeoutError, RuntimeError):
                cluster.close(timeout=timeout)
