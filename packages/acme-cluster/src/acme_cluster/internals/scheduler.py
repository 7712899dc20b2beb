"""The scheduler of our clusters: its dashboard is built at the first visit, no history is kept.

Building the dashboard takes half a second, which each short run would pay and few would use. The
web server runs from the start; the first request builds the pages, waits for them, and is answered.
"""

from __future__ import annotations

import asyncio
from typing import Any

from distributed.http.routing import RoutingApplication
from distributed.scheduler import Scheduler
from tornado import web
from tornado.httpserver import HTTPServer

from acme_cluster.internals.history import keep_no_history
from acme_cluster.lifetime.dashboard import first_free_port, wanted_port

__all__ = ["QuietScheduler"]


class QuietScheduler(Scheduler):
    """distributed's scheduler with a web server on 127.0.0.1 only, or without one.

    The configuration `acme.dashboard: false` leaves the web server out; `acme.dashboard-port` is
    the first port to try (8787; 0 takes any). Ports in use are skipped silently.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        keep_no_history(self)

    def start_http_server(self, routes: Any, *_args: object, **_kwargs: object) -> None:
        """Start the web server. Its pages, `routes` and the dashboard, are built on demand."""
        # Replaces distributed's method, which listens on all interfaces by default, and warns about
        # a port in use. The attributes set here are those that it sets.
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
