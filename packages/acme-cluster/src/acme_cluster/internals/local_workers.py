"""A local cluster whose workers are forked, and to which a client connects while they start."""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any

import dask
from distributed import Client, LocalCluster, SpecCluster, Status

from acme_cluster.internals import fork_server, prompt_client
from acme_cluster.internals.live_clusters import EndsCleanly, failure_explained
from acme_cluster.internals.nanny import LocalNanny, SilentWorker
from acme_cluster.internals.scheduler import QuietScheduler
from acme_cluster.internals.tls import lighten_accepting
from acme_cluster.lifetime.clients import close_client
from acme_cluster.lifetime.dask_config import WORKER_RULES, calm

if TYPE_CHECKING:
    from distributed.security import Security

__all__ = ["LocalWorkers"]


class LocalWorkers(EndsCleanly, LocalCluster):
    """A local cluster of worker processes that run one call at a time.

    Parameters
    ----------
    n_workers : int
        Number of worker processes.
    memory : int
        Limit of each in bytes; a worker above 95 % of it is killed and replaced.
    security : distributed.security.Security or None
        Keys of the cluster; None for none.
    shares : sequence of str, optional
        `CUDA_VISIBLE_DEVICES` of each worker.
    """

    def __init__(
        self, n_workers: int, memory: int, security: Security | None, shares: Sequence[str] = ()
    ) -> None:
        # `LocalCluster.__init__` is passed over: it decides by itself about nannies, dashboard and
        # the number of threads, and waits for the workers. Its class stays, since other tools
        # recognise a cluster on this machine by it.
        self.status = Status.undefined
        self.processes = True
        self._begin(n_workers, tempfile.mkdtemp(prefix="workers-", dir=_scratch_parent()), shares)
        lighten_accepting()
        scheme = "tls://" if security else "tcp://"
        common = {"host": "127.0.0.1", "protocol": scheme, "security": security}
        scheduler = {
            "cls": QuietScheduler,
            "options": {
                **common,
                "port": 0,
                "dashboard": False,
                # A worker's death reaches the client at once: only a caller that knows its calls
                # can decide about repeating them.
                "allowed_failures": 0,
                "local_directory": self.scratch,
            },
        }
        nanny = {
            "cls": LocalNanny,
            "options": {
                **common,
                "nthreads": 1,
                "memory_limit": memory,
                "local_directory": self.scratch,
                "worker_class": SilentWorker,
                "dashboard": False,
                "config": {**WORKER_RULES, **calm()},
                "silence_logs": logging.CRITICAL,
            },
        }
        try:
            with dask.config.set(calm()):
                SpecCluster.__init__(
                    self, scheduler=scheduler, worker=nanny, security=security, name=None
                )
        except BaseException:
            self._tidy_up()
            raise
        self._began()

    def __await__(self) -> Generator[Any, Any, Any]:
        # A client awaits its cluster before it connects (`Client._start`), and a cluster that is
        # awaited waits for all its workers. Here the client connects meanwhile.
        async def itself() -> LocalWorkers:
            return self

        return itself().__await__()

    @property
    def private_folder(self) -> str | None:
        """Folder of this user alone that is removed with the workers, however this process ends."""
        return os.path.dirname(self.scratch) if fork_server.available() else None

    def connect(self, meanwhile: Callable[[], object] | None = None) -> Client:
        """Start the workers, and a client while they start.

        Parameters
        ----------
        meanwhile : callable, optional
            Called while they start; its exceptions are raised unchanged.

        Returns
        -------
        distributed.Client
            A client of this cluster, when all workers are up.

        Raises
        ------
        WorkerStartError
            If a worker cannot start.
        """
        for _ in range(self.size):
            self.worker_spec |= self.new_worker_spec()
        loop: Any = self.loop
        with dask.config.set(calm()):
            workers = asyncio.run_coroutine_threadsafe(self._all_up(), loop.asyncio_loop)
            with failure_explained(self.size):
                client = prompt_client.connect(self)
            try:
                if meanwhile is not None:
                    meanwhile()
                with failure_explained(self.size):
                    workers.result()
                client.scheduler_info()  # refreshes the client's list of workers
                self.keep_size()
            except BaseException:
                close_client(client)
                raise
        return client

    async def _all_up(self) -> None:
        await self._correct_state()  # type: ignore[no-untyped-call]

    async def _close(self) -> None:
        # dask tells the scheduler to close and, if it has gone already, tries for half a minute.
        if self.scheduler is not None and self.scheduler.status != Status.running:
            self.shutdown_scheduler = False
        await super()._close()  # type: ignore[no-untyped-call]


def _scratch_parent() -> str | None:
    # In the fork server's folder it disappears with the last worker even if this process is killed.
    return fork_server.running().folder if fork_server.available() else None
