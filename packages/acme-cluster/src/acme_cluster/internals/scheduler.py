"""The scheduler that our clusters start, and the dashboard that it builds on the first visit.

Building the dashboard takes half a second that every short run would pay and few would use. The web
server runs from the start; the first request builds the pages and is then answered.
"""

from __future__ import annotations

import asyncio
from typing import Any

from distributed.http.routing import RoutingApplication
from distributed.scheduler import Scheduler
from tornado import web
from tornado.httpserver import HTTPServer

from acme_cluster.lifetime.dashboard import first_free_port, wanted_port

__all__ = ["QuietScheduler"]


class QuietScheduler(Scheduler):
    """distributed's scheduler with a web server on 127.0.0.1 only, or without one.

    The configuration `acme.dashboard: false` leaves the web server out; `acme.dashboard-port` is
    the first port to try (8787; 0 takes any). A port that is taken is passed over without a word.
    """

    def start_http_server(self, routes: Any, *_args: object, **_kwargs: object) -> None:
        """Start the web server with `routes`, and the dashboard's pages to be built on demand."""
        self.http_application = RoutingApplication([])
        port = wanted_port()
        if port is None:
            return
        self.http_application.add_application(_PagesOnDemand(self, routes))
        server: Any = HTTPServer(self.http_application)
        server.address = "127.0.0.1"
        listener = first_free_port(port)
        server.add_sockets([listener])
        server.port = listener.getsockname()[1]
        self.http_server = self.services["dashboard"] = server


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
