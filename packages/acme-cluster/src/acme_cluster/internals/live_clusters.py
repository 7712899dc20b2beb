"""The local clusters of this process, and how each of them ends."""

from __future__ import annotations

import contextlib
import logging
import shutil
import sys
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

from distributed import Client, Status
from tornado.ioloop import PeriodicCallback

from acme_cluster.console.dask_logging import DASK_AND_LOOP, silence_the_end, silenced
from acme_cluster.devices import VARIABLE
from acme_cluster.errors import ArgumentValueError, WorkerStartError
from acme_cluster.internals import fork_server
from acme_cluster.lifetime import signals
from acme_cluster.lifetime.clients import close_client

__all__ = ["EndsCleanly", "close_all", "devices_in_use", "failure_explained", "is_running"]

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
    shares : tuple of str
        `CUDA_VISIBLE_DEVICES` of each worker; empty to leave the variable as it is.
    """

    size: int
    scratch: str
    shares: tuple[str, ...]
    status: Any
    workers: dict[Any, Any]
    worker_spec: dict[Any, Any]
    scale: Any
    loop: Any

    def _begin(self, size: int, scratch: str, shares: Sequence[str]) -> None:
        self.size, self.scratch, self.shares = size, scratch, tuple(shares)
        self._upkeep = PeriodicCallback(self._replace_lost, _UPKEEP_SECONDS * 1000)
        self._quiet = contextlib.ExitStack()
        self._quiet.enter_context(silenced(logging.CRITICAL))
        silence_the_end()

    def _began(self) -> None:
        _live.add(self)
        signals.guard(self)

    def new_worker_spec(self) -> dict[Any, Any]:
        """Return name and description of the next worker, which gets a free share of the GPUs.

        Returns
        -------
        dict
            With one entry, for `SpecCluster.worker_spec`.

        Raises
        ------
        ValueError
            All shares are taken.
        """
        described: dict[Any, Any] = super().new_worker_spec()  # type: ignore[misc]
        if not self.shares:
            return described
        # The share belongs to the description, not to the process: a nanny starts its worker again
        # with the same one, and so does SpecCluster, which keeps the description of a lost nanny.
        taken = {one["options"]["env"][VARIABLE] for one in self.worker_spec.values()}
        free = next((share for share in self.shares if share not in taken), None)
        if free is None:
            raise ArgumentValueError(
                f"<local_cluster_setup> The GPUs of this cluster are enough for {len(self.shares)} "
                "workers; no more can be added. Start it with a smaller gpus_per_worker."
            )
        return {name: _with_variable(one, free) for name, one in described.items()}

    def keep_size(self) -> None:
        """Replace workers that are lost for good, from now on until the cluster closes."""
        self.loop.add_callback(self._upkeep.start)

    def _replace_lost(self) -> None:
        # A nanny replaces its worker, but gives up if the replacement dies while it starts. After
        # 15 s without its worker (`distributed.deploy.lost-worker-timeout`) SpecCluster forgets the
        # nanny, and makes another when it is next told how many workers there should be.
        if self.status == Status.running and not self._nannies_closing():
            self.scale(self.size)

    def _nannies_closing(self) -> bool:
        # Up to ten seconds pass until such a nanny has killed its worker, which holds its GPUs and
        # memory until then. `_futures` are SpecCluster's closing nannies.
        return any(not closing.done() for closing in getattr(self, "_futures", ()))

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


def _with_variable(described: dict[str, Any], share: str) -> dict[str, Any]:
    # Copies: all workers of a cluster have one and the same description otherwise.
    options = described["options"]
    environ = {**options.get("env", {}), VARIABLE: share}
    return {**described, "options": {**options, "env": environ}}


def devices_in_use() -> set[str]:
    """Return the GPUs that local workers of this process have, by name."""
    return {name for cluster in _live for share in cluster.shares for name in share.split(",")}


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
