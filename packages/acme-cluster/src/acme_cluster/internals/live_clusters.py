"""The local clusters of this process, and how each of them ends."""

from __future__ import annotations

import contextlib
import logging
import shutil
import sys
import tempfile
import weakref
from collections.abc import Iterator
from typing import Any

from distributed import Client, Status
from tornado.ioloop import PeriodicCallback

from acme_cluster.console.dask_logging import DASK_AND_LOOP, silence_the_end, silenced
from acme_cluster.errors import WorkerStartError
from acme_cluster.internals import fork_server
from acme_cluster.lifetime import signals
from acme_cluster.lifetime.clients import close_client

__all__ = ["EndsCleanly", "close_all", "failure_explained", "is_running"]

# Seconds between looks at the number of workers. A look costs nothing while all are there.
_UPKEEP_SECONDS = 2.0

_live: weakref.WeakSet[EndsCleanly] = weakref.WeakSet()


class EndsCleanly:
    """Mixed into a local cluster class of distributed: it ends without messages and leftovers.

    Attributes
    ----------
    size : int
        Number of workers that it shall have.
    scratch : str
        Folder of its scheduler and nannies, removed at the end.
    """

    size: int
    scratch: str
    status: Any
    workers: dict[Any, Any]
    scale: Any
    loop: Any

    def _begin(self, size: int, scratch: str) -> None:
        self.size, self.scratch = size, scratch
        self._upkeep = PeriodicCallback(self._replace_lost, _UPKEEP_SECONDS * 1000)
        self._quiet = contextlib.ExitStack()
        self._quiet.enter_context(silenced(logging.CRITICAL))
        silence_the_end()

    def _began(self) -> None:
        _live.add(self)
        signals.guard(self)

    def keep_size(self) -> None:
        """Replace workers that are lost for good, from now on until the cluster closes."""
        self.loop.add_callback(self._upkeep.start)

    def _replace_lost(self) -> None:
        # A nanny replaces its worker, but gives up if the replacement dies while it starts. After
        # 15 s without its worker (`distributed.deploy.lost-worker-timeout`) SpecCluster forgets the
        # nanny, and makes another when it is next told how many workers there should be.
        if self.status == Status.running:
            self.scale(self.size)

    @property
    def still_growing(self) -> bool:
        """Whether a nanny lives: one without a worker is starting it."""
        return any(nanny.status == Status.running for nanny in self.workers.values())

    @contextlib.contextmanager
    def quietly(self) -> Iterator[None]:
        """Silence dask while this cluster ends, when closed connections are no news."""
        with silenced(logging.CRITICAL + 1, DASK_AND_LOOP):
            yield

    def close(self, timeout: float | None = None) -> Any:
        """Stop workers and scheduler and remove their folder.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait for them.
        """
        if self.status != Status.closed:
            self.loop.add_callback(self._upkeep.stop)
        try:
            with self.quietly():
                return super().close(timeout)  # type: ignore[misc]
        finally:
            self.status = Status.closed
            self._tidy_up()

    def _tidy_up(self) -> None:
        self._quiet.close()
        # dask puts the folders of scheduler and nannies on the path, and leaves some of them there.
        sys.path[:] = [entry for entry in sys.path if not entry.startswith(self.scratch)]
        _live.discard(self)
        signals.release(self)
        shutil.rmtree(self.scratch, ignore_errors=True)
        if not _live:
            fork_server.stop()


def is_running() -> bool:
    """Return whether this process has local workers."""
    return bool(_live)


def close_all() -> None:
    """Close all local clusters of this process with their clients; called when it ends."""
    for cluster in list(_live):
        # `Client._instances` is the only list of clients that distributed keeps.
        clients = getattr(Client, "_instances", ())
        for client in [client for client in clients if client.cluster is cluster]:
            close_client(client)
        cluster.close(timeout=10)


@contextlib.contextmanager
def failure_explained(n_workers: int) -> Iterator[None]:
    """Turn what goes wrong inside into a `WorkerStartError`."""
    try:
        yield
    except Exception as error:
        raise WorkerStartError(
            f"<local_cluster_setup> {n_workers} workers could not be started on this machine: "
            f"{error!r}. Try fewer workers, and check that {tempfile.gettempdir()} is writable."
        ) from error
