"""The scheduler of our clusters, which builds its dashboard at the first visit.

Building the dashboard takes half a second, which each short run would pay and few would use. The
web server runs from the start; the first request builds the pages, waits for them, and is answered.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

import dask
from distributed.http.routing import RoutingApplication
from distributed.scheduler import Scheduler
from tornado import web
from tornado.httpserver import HTTPServer

__all__ = ["QuietScheduler"]

# dask's own default port. Users of one login node share its ports: after a hundred that are taken,
# any free one will do.
_FIRST_PORT = 8787
_PORTS_TO_TRY = 100


class QuietScheduler(Scheduler):
    """distributed's scheduler with a web server on 127.0.0.1 only, or without one.

    The configuration `acme.dashboard: false` leaves the web server out; `acme.dashboard-port` is
    the first port to try (8787; 0 takes any). Ports in use are skipped silently.
    """

    def start_http_server(self, routes: Any, *_args: object, **_kwargs: object) -> None:
        """Start the web server. Its pages, `routes` and the dashboard, are built on demand."""
        # Replaces distributed's method, which listens on all interfaces by default, and warns about
        # a port in use. The attributes set here are those that it sets.
        if not dask.config.get("acme.dashboard", True):
            self.http_application = RoutingApplication([])
            return
        self.http_application = RoutingApplication([])
        self.http_application.add_application(_PagesOnDemand(self, routes))
        server: Any = HTTPServer(self.http_application)
        server.address = "127.0.0.1"
        server.port = _listen(server, int(dask.config.get("acme.dashboard-port", _FIRST_PORT)))
        self.http_server = self.services["dashboard"] = server


def _listen(server: HTTPServer, first: int) -> int:
    """Make the server listen at the first free port from `first` on, and return the port."""
    for port in [*range(first, first + _PORTS_TO_TRY), 0] if first else [0]:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            # A port whose last connections are in TIME_WAIT counts as free.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setblocking(False)
            listener.bind(("127.0.0.1", port))
            listener.listen(128)
        except OSError:
            listener.close()
            if port == 0:
                raise
        else:
            server.add_sockets([listener])
            return int(listener.getsockname()[1])
    raise AssertionError("unreachable: the last port tried is 0")


class _PagesOnDemand(web.Application):
    """Placeholder for the dashboard until the first visit."""

    def __init__(self, scheduler: QuietScheduler, routes: Any) -> None:
        super().__init__([(r"/.*", _FirstVisit)])
        self._scheduler = scheduler
        self._routes = routes
        self._build: asyncio.Task[None] | None = None

    async def build(self) -> RoutingApplication:
        """Build the dashboard, once for all requests that wait for it.

        Returns
        -------
        RoutingApplication
            The application, which has the pages now.
        """
        if self._build is None:
            self._build = asyncio.ensure_future(self._connect())
        # A visitor who leaves cancels this request, but not the build that others wait for.
        await asyncio.shield(self._build)
        return self._scheduler.http_application

    async def _connect(self) -> None:
        # In a thread: the imports take half a second, and the scheduler shares this loop.
        loop = asyncio.get_running_loop()
        dashboard = await loop.run_in_executor(None, _import_dashboard)
        # From here on in one piece, without `await`: no request sees a half-built application.
        scheduler = self._scheduler
        scheduler.http_application.applications.remove(self)
        scheduler.http_application.add_handlers(r".*", self._routes)
        dashboard.connect(scheduler.http_application, scheduler.http_server, scheduler, prefix="")


class _FirstVisit(web.RequestHandler):
    application: _PagesOnDemand

    async def get(self) -> None:
        """Build the pages, then pass the request on to its page."""
        # The page finishes the response, not this handler.
        self._auto_finish = False
        pages = await self.application.build()
        page = pages.find_handler(self.request)
        response = page.execute()
        # tornado returns a future only for handlers that run asynchronously.
        if response is not None:
            await response


def _import_dashboard() -> Any:
    # This import loads bokeh.
    import distributed.dashboard.scheduler

    return distributed.dashboard.scheduler


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
    return None if server is None else f"http://127.0.0.1:{server.port}/status"


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
