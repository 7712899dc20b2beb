"""Closing a client with its cluster, and stopping the process of `warm_up`."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from acme_cluster.console.messages import shown
from acme_cluster.errors import ArgumentTypeError
from acme_cluster.lifetime.clients import close_client

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["cluster_cleanup", "cool_down"]

logger = logging.getLogger(__name__)


def cluster_cleanup(client: Client | None = None) -> None:
    """Close a client together with its cluster, and log which.

    Parameters
    ----------
    client : distributed.Client, optional
        By default dask's current client, with or without live workers.

    Raises
    ------
    TypeError
        `client` is not a client.

    Notes
    -----
    A client connected by address (`Client("tls://…")`) has no cluster of its own: it is closed, and
    its scheduler and workers run on. Closing twice, or without a client to close, is no error.
    """
    with shown():
        if client is None:
            client = _any_client()
        if client is None:
            logger.info("<cluster_cleanup> INFO: There is no parallel computing client to close")
            return
        _check_client(client)
        from distributed import Status

        # The representation names scheduler and workers, which a closed client no longer knows.
        cluster, name = client.cluster, repr(client)
        # The client alone may have been closed, for example by its `with` block.
        if client.status == "closed" and getattr(cluster, "status", None) in (None, Status.closed):
            logger.info("<cluster_cleanup> INFO: This client is closed already")
            return
        close_client(client)
        if cluster is None:
            logger.info("<cluster_cleanup> INFO: Closed %s; its scheduler and workers run on", name)
        else:
            logger.info("<cluster_cleanup> INFO: Closed %s and its workers", name)


def _check_client(client: object) -> None:
    # No import: without distributed in this process the argument cannot be one of its clients.
    distributed = sys.modules.get("distributed")
    if distributed is None or not isinstance(client, distributed.Client):
        raise ArgumentTypeError(
            f"<cluster_cleanup> `client` must be a distributed.Client, not {client!r}. "
            "To close the current client, pass no argument: cluster_cleanup()"
        )


def _any_client() -> Client | None:
    """Return dask's current client; unlike `current_client`, also one without live workers."""
    if "distributed" not in sys.modules:
        return None
    from distributed import Client

    try:
        client: Client = Client.current()
    except ValueError:
        return None
    return client


def cool_down() -> None:
    """Undo `warm_up`: stop the process that it started, unless local workers depend on it."""
    from acme_cluster.internals import fork_server

    # Local workers exist only if this module was imported; importing it here would load dask.
    local = sys.modules.get("acme_cluster.internals.live_clusters")
    if local is None or not local.is_running():
        fork_server.stop()
