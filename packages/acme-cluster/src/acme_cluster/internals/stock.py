"""Local workers by documented means alone: distributed's own scheduler, nannies and workers.

The reference for everything else in this room, and its replacement where it is switched off or
does not fit the installed distributed. Start-up takes about half a second longer, each worker
imports dask for itself, and a killed client leaves a folder in the system's temp folder behind.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import dask
from distributed import Client, Nanny, Scheduler, SpecCluster, Status

from acme_cluster.internals import fork_server
from acme_cluster.internals.context import guard_free
from acme_cluster.internals.live_clusters import EndsCleanly, failure_explained
from acme_cluster.lifetime.clients import close_client
from acme_cluster.lifetime.dashboard import first_free_port, wanted_port
from acme_cluster.lifetime.dask_config import WORKER_RULES, calm

if TYPE_CHECKING:
    from distributed.security import Security

__all__ = ["StockLocalWorkers", "worker_environment"]

# Seconds for workers to import dask and to connect; from a busy file server an import alone can
# take half a minute.
_START_SECONDS = 120.0


def worker_environment(cores: int) -> dict[str, str]:
    """Return the environment variables of a worker that has a number of cores."""
    return {**fork_server.thread_limits(cores), "ACME_WORKER_CORES": str(cores)}


class StockLocalWorkers(EndsCleanly, SpecCluster):
    """A local cluster of worker processes that run one call at a time.

    Parameters
    ----------
    n_workers, memory, security, shares
        As for `LocalWorkers`.
    """

    def __init__(
        self, n_workers: int, memory: int, security: Security | None, shares: Sequence[str] = ()
    ) -> None:
        self.status = Status.undefined
        self._begin(n_workers, tempfile.mkdtemp(prefix="acme-workers-"), shares)
        scheme = "tls://" if security else "tcp://"
        common = {"host": "127.0.0.1", "protocol": scheme, "security": security}
        port = wanted_port()
        pages = port is not None
        scheduler = {
            "cls": Scheduler,
            "options": {
                **common,
                "port": 0,
                "dashboard": pages,
                "dashboard_address": f"127.0.0.1:{_free_port(port or 0)}",
                "allowed_failures": 0,
                "local_directory": self.scratch,
            },
        }
        nanny = {
            "cls": Nanny,
            "options": {
                **common,
                "nthreads": 1,
                "memory_limit": memory,
                "local_directory": self.scratch,
                "dashboard": False,
                "dashboard_address": "127.0.0.1:0",
                "env": worker_environment(1),
                "config": {**WORKER_RULES, **calm()},
                "silence_logs": logging.CRITICAL,
            },
        }
        self._quiet.enter_context(guard_free())
        try:
            # Without the dashboard there are no pages at all, not even the plain ones.
            routes: dict[str, Any] = {} if pages else {"distributed.scheduler.http.routes": []}
            with dask.config.set({**calm(), **routes}):
                super().__init__(  # type: ignore[no-untyped-call]
                    scheduler=scheduler, worker=nanny, security=security
                )
        except BaseException:
            self._tidy_up()
            raise
        self._began()

    @property
    def private_folder(self) -> None:
        """Nothing outlives this process to remove a folder."""
        return

    def connect(self, meanwhile: Callable[[], object] | None = None) -> Client:
        """Start the workers, then a client.

        Parameters
        ----------
        meanwhile : callable, optional
            Called while the workers start.

        Returns
        -------
        distributed.Client
            A client of this cluster, when all workers are up.

        Raises
        ------
        WorkerStartError
            If a worker cannot start.
        """
        with failure_explained(self.size):
            self.scale(self.size)
            client = Client(self)
        try:
            if meanwhile is not None:
                meanwhile()
            with failure_explained(self.size):
                client.wait_for_workers(self.size, timeout=_START_SECONDS)
            self.keep_size()
        except BaseException:
            with contextlib.suppress(OSError):
                close_client(client)
            raise
        return client


def _free_port(first: int) -> int:
    # distributed takes a number only, and warns where somebody else was quicker.
    with contextlib.closing(first_free_port(first)) as listener:
        return int(listener.getsockname()[1])
