"""Where the dashboard of a cluster is, and how to open it from elsewhere."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import dask

if TYPE_CHECKING:
    from distributed.scheduler import Scheduler

__all__ = ["dashboard_link", "first_free_port", "how_to_reach", "wanted_port"]

# dask's own default port. Users of one login node share its ports: after a hundred that are taken,
# any free one will do.
_FIRST_PORT = 8787
_PORTS_TO_TRY = 100


def wanted_port() -> int | None:
    """Return the first port to try for a dashboard, 0 for any, or None for no dashboard."""
    if not dask.config.get("acme.dashboard", True):
        return None
    return int(dask.config.get("acme.dashboard-port", _FIRST_PORT))


def first_free_port(first: int) -> socket.socket:
    """Return a socket that listens on 127.0.0.1.

    Parameters
    ----------
    first : int
        Port to try first, then the hundred after it, then any; 0 takes any at once.

    Raises
    ------
    OSError
        If no port is free.
    """
    for port in [*range(first, first + _PORTS_TO_TRY), 0] if first else [0]:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            # A port whose last connections are still closing may be taken again.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setblocking(False)
            listener.bind(("127.0.0.1", port))
            listener.listen(128)
        except OSError:
            listener.close()
            if port == 0:
                raise
        else:
            return listener
    raise AssertionError("unreachable: any port was tried last")


def dashboard_link(scheduler: Scheduler) -> str | None:
    """Return the dashboard's address.

    Parameters
    ----------
    scheduler : distributed.Scheduler
        A scheduler in this process.

    Returns
    -------
    str or None
        `http://127.0.0.1:PORT/status`; None if the scheduler serves no pages.
    """
    server = scheduler.services.get("dashboard")
    # distributed's own scheduler serves a few plain pages in any case.
    if server is None or wanted_port() is None:
        return None
    return f"http://127.0.0.1:{server.port}/status"


def how_to_reach(link: str, caller: str) -> str | None:
    """Return how to open the dashboard from a browser on another machine.

    Parameters
    ----------
    link : str
        From :func:`dashboard_link`.
    caller : str
        Function name to put in front of the message.

    Returns
    -------
    str or None
        A message for users of a JupyterHub or an ssh connection; None where the link works as it
        is.
    """
    port = link.rsplit(":", 1)[1].split("/")[0]
    # Set by JupyterHub for each user's server; it comes first, as hubs may start servers over ssh.
    hub = os.environ.get("JUPYTERHUB_SERVICE_PREFIX")
    if hub:
        path = f"{hub.rstrip('/')}/proxy/{port}/status"
        return f"<{caller}> INFO: On this hub it is at {path} (needs jupyter-server-proxy)"
    if os.environ.get("SSH_CONNECTION"):
        import getpass

        host = f"{getpass.getuser()}@{socket.gethostname()}"
        return (
            f"<{caller}> INFO: To open it on your own computer, run "
            f"`ssh -L {port}:127.0.0.1:{port} {host}` there and open the link in its browser"
        )
    return None
