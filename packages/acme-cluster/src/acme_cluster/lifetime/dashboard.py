"""The scheduler that our clusters start, and the dashboard that it builds when somebody looks.

Building the dashboard takes half a second that every short run would pay and few would use. The web
server runs from the start; the first request builds the pages, and is then answered.
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

_FIRST_PORT = 8787
_PORTS_TO_TRY = 100


class QuietScheduler(Scheduler):
    """distributed's scheduler with a web server on 127.0.0.1 only, or without one.

    The configuration `acme.dashboard: false` leaves the web server out; `acme.dashboard-port` is
    the first port to try (8787; 0 takes any). A port that is taken is passed over without a word.
    """

    def start_http_server(self, routes: Any, *_args: object, **_kwargs: object) -> None:
        """Start the web server with `routes`, and the dashboard's pages to be built on demand."""
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
    for port in [*range(first, first + _PORTS_TO_TRY), 0] if first else [0]:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
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
    raise AssertionError("unreachable: any port was tried last")


class _PagesOnDemand(web.Application):
    """Stands in for the dashboard until the first visit."""

    def __init__(self, scheduler: QuietScheduler, routes: Any) -> None:
        super().__init__([(r"/.*", _FirstVisit)])
        self._scheduler = scheduler
        self._routes = routes
        self._build: asyncio.Task[None] | None = None

    async def build(self) -> RoutingApplication:
        """Build the dashboard, once for all visitors that wait for it.

        Returns
        -------
        RoutingApplication
            The application that now has the pages.
        """
        if self._build is None:
            self._build = asyncio.ensure_future(self._connect())
        await asyncio.shield(self._build)
        return self._scheduler.http_application

    async def _connect(self) -> None:
        # The imports take half a second, in which the scheduler must go on.
        loop = asyncio.get_running_loop()
        dashboard = await loop.run_in_executor(None, _import_dashboard)
        scheduler = self._scheduler
        scheduler.http_application.applications.remove(self)
        scheduler.http_application.add_handlers(r".*", self._routes)
        dashboard.connect(scheduler.http_application, scheduler.http_server, scheduler, prefix="")


class _FirstVisit(web.RequestHandler):
    application: _PagesOnDemand

    async def get(self) -> None:
        """Build the pages, then let the one that was asked for answer."""
        self._auto_finish = False
        pages = await self.application.build()
        page = pages.find_handler(self.request)
        answer = page.execute()
        if answer is not None:
            await answer


def _import_dashboard() -> Any:
    import distributed.dashboard.scheduler

    return distributed.dashboard.scheduler


def dashboard_link(scheduler: Scheduler) -> str | None:
    """Return the address of the dashboard.

    Parameters
    ----------
    scheduler : distributed.Scheduler
        A scheduler in this process.

    Returns
    -------
    str or None
        `http://127.0.0.1:PORT/status`; None if it serves no pages.
    """
    server = scheduler.services.get("dashboard")
    return None if server is None else f"http://127.0.0.1:{server.port}/status"


def how_to_reach(link: str, caller: str) -> str | None:
    """Say how to open a dashboard that listens on another machine than the one with the browser.

    Parameters
    ----------
    link : str
        As from :func:`dashboard_link`.
    caller : str
        Name in front of the message.

    Returns
    -------
    str or None
        One line for behind a JupyterHub or an ssh connection; None where the link works as it is.
    """
    port = link.rsplit(":", 1)[1].split("/")[0]
    hub = os.environ.get("JUPYTERHUB_SERVICE_PREFIX")
    if hub:
        path = f"{hub.rstrip('/')}/proxy/{port}/status"
        return f"<{caller}> INFO: Behind this hub it is at {path} (needs jupyter-server-proxy)"
    if os.environ.get("SSH_CONNECTION"):
        import getpass

        host = f"{getpass.getuser()}@{socket.gethostname()}"
        return (
            f"<{caller}> INFO: From your own computer: run there "
            f"`ssh -L {port}:127.0.0.1:{port} {host}` and open the link in its browser"
        )
    return None
