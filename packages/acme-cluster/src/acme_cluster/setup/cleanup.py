"""Ending clusters: on request, at the end of the program, and when somebody ends the program."""

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
    """Close a client together with its cluster, and say which.

    Parameters
    ----------
    client : distributed.Client, optional
        By default dask's current client, whether it has live workers or not.

    Raises
    ------
    TypeError
        `client` is something else.

    Notes
    -----
    A client that was connected to an address (`Client("tls://…")`) has no cluster of its own: it is
    closed, and what it was connected to runs on. Closing twice, or when there is nothing to close,
    is no error.
    """
    with shown():
        if client is None:
            client = _any_client()
        if client is None:
            logger.info("<cluster_cleanup> INFO: There is no parallel computing client to close")
            return
        _check_client(client)
        from distributed import Status

        cluster, what = client.cluster, repr(client)
        if client.status == "closed" and getattr(cluster, "status", None) in (None, Status.closed):
            logger.info("<cluster_cleanup> INFO: This client is closed already")
            return
        close_client(client)
        if cluster is None:
            logger.info("<cluster_cleanup> INFO: Closed %s; its scheduler and workers run on", what)
        else:
            logger.info("<cluster_cleanup> INFO: Closed %s and its workers", what)


def _check_client(client: object) -> None:
    distributed = sys.modules.get("distributed")
    if distributed is None or not isinstance(client, distributed.Client):
        raise ArgumentTypeError(
            f"<cluster_cleanup> `client` has to be a distributed.Client, not {client!r}. "
            "Without an argument the current client is closed: cluster_cleanup()"
        )


def _any_client() -> Client | None:
    if "distributed" not in sys.modules:
        return None
    from distributed import Client

    try:
        client: Client = Client.current()
    except ValueError:
        return None
    return client


def cool_down() -> None:
    """Undo `warm_up`: stop the process that it started, unless local workers came from it."""
    from acme_cluster.internals import fork_server

    local = sys.modules.get("acme_cluster.internals.live_clusters")
    if local is None or not local.is_running():
        fork_server.stop()
