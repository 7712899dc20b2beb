"""Workers on this machine.

`local_cluster_setup` checks its arguments, picks up a client that is there, or starts a cluster::

    fork server (other core: imports) ┐
    keys, scheduler (in this process) ┴► nannies ─► fork ─► workers connect
                                         client connects meanwhile
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import sys
import tempfile
import weakref
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

import dask
from distributed import Client, LocalCluster, SpecCluster, Status
from distributed.system import MEMORY_LIMIT

from acme_cluster.checks import check_bool, check_count, check_memory
from acme_cluster.console.dask_logging import DASK_AND_LOOP, silence_the_end, silenced
from acme_cluster.console.messages import shown
from acme_cluster.console.prompts import can_ask, confirm
from acme_cluster.errors import DeclinedError, WorkerStartError
from acme_cluster.lifetime import clients, signals
from acme_cluster.lifetime.clients import close_client
from acme_cluster.lifetime.dashboard import QuietScheduler, dashboard_link, how_to_reach
from acme_cluster.lifetime.dask_config import WORKER_RULES, calm
from acme_cluster.processes import fork_server
from acme_cluster.processes.nanny import LocalNanny, SilentWorker
from acme_cluster.processes.preloading import import_registered
from acme_cluster.security.keys import make_keys
from acme_cluster.security.tls import cluster_security, lighten_accepting
from acme_cluster.sizes import format_memory

if TYPE_CHECKING:
    from distributed.security import Security

__all__ = ["LocalWorkers", "local_cluster_setup", "start_local", "usable_cores"]

logger = logging.getLogger(__name__)

_CALLER = "local_cluster_setup"

_live: weakref.WeakSet[LocalWorkers] = weakref.WeakSet()


def usable_cores() -> int:
    """Count the cores that this process may use.

    Returns
    -------
    int
        At least 1; affinity and control groups count, as dask reads them.
    """
    from dask.system import CPU_COUNT

    return int(CPU_COUNT)


class LocalWorkers(LocalCluster):
    """A local cluster of one-call-at-a-time worker processes.

    Parameters
    ----------
    n_workers : int
        Number of worker processes.
    memory : int
        Limit of each in bytes; a worker that passes 95 % of it is ended and replaced.
    security : distributed.security.Security or None
        Keys of the cluster; None for none.
    """

    def __init__(self, n_workers: int, memory: int, security: Security | None) -> None:
        self.status = Status.undefined
        self.processes = True
        self.scratch = tempfile.mkdtemp(prefix="workers-", dir=_scratch_parent())
        self._quiet = contextlib.ExitStack()
        self._quiet.enter_context(silenced(logging.CRITICAL))
        silence_the_end()
        lighten_accepting()
        scheme = "tls://" if security else "tcp://"
        common = {"host": "127.0.0.1", "protocol": scheme, "security": security}
        scheduler = {
            "cls": QuietScheduler,
            # A worker's death reaches the client at once; repeating calls is for those who know the
            # calls.
            "options": {
                **common,
                "port": 0,
                "dashboard": False,
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
        self.size = n_workers
        try:
            with dask.config.set(calm()):
                SpecCluster.__init__(
                    self, scheduler=scheduler, worker=nanny, security=security, name=None
                )
        except BaseException:
            self._tidy_up()
            raise
        _live.add(self)
        signals.guard(self)

    def __await__(self) -> Generator[Any, Any, Any]:
        # A client awaits its cluster before it connects. It need not wait for the workers as well.
        async def itself() -> LocalWorkers:
            return self

        return itself().__await__()

    @property
    def still_growing(self) -> bool:
        """Whether a nanny lives: where it has no worker at the moment, it is making one."""
        return any(nanny.status == Status.running for nanny in self.workers.values())

    @property
    def private_folder(self) -> str | None:
        """Folder of this user alone that is removed with the workers, however this process ends."""
        return os.path.dirname(self.scratch) if fork_server.available() else None

    def connect(self, meanwhile: Callable[[], object] | None = None) -> Client:
        """Start the workers, and a client while they start.

        Parameters
        ----------
        meanwhile : callable, optional
            Called while they start. What it raises comes out as it is.

        Returns
        -------
        distributed.Client
            A client of this cluster, when all workers are up.
        """
        self.worker_spec = dict.fromkeys(range(self.size), self.new_spec)
        loop: Any = self.loop
        with dask.config.set(calm()):
            workers = asyncio.run_coroutine_threadsafe(self._all_up(), loop.asyncio_loop)
            with _failure_explained(self.size):
                client = clients.connect(self)
            try:
                if meanwhile is not None:
                    meanwhile()
                with _failure_explained(self.size):
                    workers.result()
                client.scheduler_info()  # it was there before them, and knows of them from now on
            except BaseException:
                close_client(client)
                raise
        return client

    async def _all_up(self) -> None:
        await self._correct_state()  # type: ignore[no-untyped-call]

    @contextlib.contextmanager
    def quietly(self) -> Iterator[None]:
        """Silence dask while this cluster ends: that connections close is what is wanted."""
        with silenced(logging.CRITICAL + 1, DASK_AND_LOOP):
            yield

    def close(self, timeout: float | None = None) -> Any:
        """Stop workers and scheduler and remove their folder.

        Parameters
        ----------
        timeout : float, optional
            Seconds after which to go on with the rest.
        """
        try:
            with self.quietly():
                return super().close(timeout)
        finally:
            self.status = Status.closed
            self._tidy_up()

    async def _close(self) -> None:
        # A scheduler that has gone cannot be told to go; dask would try for half a minute.
        if self.scheduler is not None and self.scheduler.status != Status.running:
            self.shutdown_scheduler = False
        await super()._close()  # type: ignore[no-untyped-call]

    def _tidy_up(self) -> None:
        self._quiet.close()
        # dask puts the folders of scheduler and nannies on the path, and not always takes them off.
        sys.path[:] = [entry for entry in sys.path if not entry.startswith(self.scratch)]
        _live.discard(self)
        signals.release(self)
        shutil.rmtree(self.scratch, ignore_errors=True)
        if not _live:
            fork_server.stop()


def is_running() -> bool:
    """Tell whether this process has local workers."""
    return bool(_live)


def close_all() -> None:
    """Close all local clusters of this process with their clients; for its end."""
    for cluster in list(_live):
        for client in [client for client in Client._instances if client.cluster is cluster]:
            close_client(client)
        cluster.close(timeout=10)


def _scratch_parent() -> str | None:
    # In the fork server's folder it disappears with the last worker even if this process is killed.
    return fork_server.running().folder if fork_server.available() else None


def local_cluster_setup(
    n_workers: int | None = None,
    mem_per_worker: str | int | None = None,
    interactive: bool = True,
) -> Client:
    """Start workers on this machine, or pick up the client that is there.

    Parameters
    ----------
    n_workers : int, optional
        Number of worker processes, each for one call at a time. By default the number of usable
        cores.
    mem_per_worker : str or int, optional
        Memory of each worker, such as "4GB"; one that takes more is ended and replaced. By default
        an equal share of the machine's.
    interactive : bool, default True
        Ask at the terminal, if there is one, before starting workers that may together take more
        memory than the machine has; otherwise warn only.

    Returns
    -------
    distributed.Client
        Client of the new cluster; or the current client, if it has live workers.

    Raises
    ------
    TypeError, ValueError
        An argument that cannot mean anything. Nothing was started.
    RuntimeError
        The workers could not be started, or the question was answered with no.

    Notes
    -----
    A script needs no `if __name__ == "__main__":` around this: workers do not run it. Connections
    are encrypted and authenticated with keys that live in memory; the dask configuration
    `acme.local.tls: false` turns this off.

    Examples
    --------
    >>> from acme_cluster import cluster_cleanup, local_cluster_setup
    >>> client = local_cluster_setup(n_workers=2)
    >>> client.submit(pow, 2, 10).result()
    1024
    >>> cluster_cleanup(client)
    """
    with shown():
        check_bool(interactive, "interactive", _CALLER)
        count, memory = _check_request(n_workers, mem_per_worker)
        client = clients.current_client()
        if client is not None:
            logger.info(
                "<%s> INFO: Attaching to global parallel computing client %s", _CALLER, client
            )
            return client
        return _start(count or usable_cores(), memory, interactive, import_registered)


def start_local(
    n_workers: int | None,
    n_calls: int | None,
    mem_per_worker: str | int | None,
    interactive: bool,
    meanwhile: Callable[[], object] | None = None,
) -> Client:
    """Start local workers for a known number of calls; a current client is not looked for.

    Parameters
    ----------
    n_workers : int or None
        Number of workers; None for one per core, at most one per call.
    n_calls : int or None
        Number of calls, if known.
    mem_per_worker : str or int or None
        As for :func:`local_cluster_setup`; "auto" is None.
    interactive : bool
        As for :func:`local_cluster_setup`.
    meanwhile : callable, optional
        Called while the workers start.

    Returns
    -------
    distributed.Client
        Client of the new cluster.
    """
    count, memory = _check_request(n_workers, mem_per_worker)
    cores = usable_cores()
    return _start(count or min(cores, n_calls or cores), memory, interactive, meanwhile)


def _check_request(n_workers: object, mem_per_worker: object) -> tuple[int | None, int | None]:
    count = None if n_workers is None else check_count(n_workers, "n_workers", _CALLER)
    return count, check_memory(mem_per_worker, "mem_per_worker", _CALLER)


def _start(
    n_workers: int,
    memory: int | None,
    interactive: bool,
    meanwhile: Callable[[], object] | None = None,
) -> Client:
    cores = usable_cores()
    if n_workers > cores:
        logger.warning(
            "<%s> WARNING: %d workers share %d cores; each will run slower for it",
            _CALLER,
            n_workers,
            cores,
        )
    _check_memory_fits(n_workers, memory, interactive)
    fork_server.warm_up()
    memory = memory or int(MEMORY_LIMIT) // max(n_workers, 1)
    with _failure_explained(n_workers):
        cluster = LocalWorkers(n_workers, memory, _security())
    try:
        client = cluster.connect(meanwhile)
    except BaseException:
        cluster.close(timeout=5)
        raise
    _announce(cluster)
    return client


@contextlib.contextmanager
def _failure_explained(n_workers: int) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise WorkerStartError(
            f"<{_CALLER}> {n_workers} workers could not be started on this machine: {error!r}. "
            f"Try fewer of them, and look whether {tempfile.gettempdir()} can be written."
        ) from error


def _check_memory_fits(n_workers: int, memory: int | None, interactive: bool) -> None:
    if memory is None or n_workers * memory <= MEMORY_LIMIT:
        return
    what = (
        f"{n_workers} workers may take {format_memory(n_workers * memory)} together, "
        f"this machine has {format_memory(int(MEMORY_LIMIT))}"
    )
    if not (interactive and can_ask()):
        logger.warning("<%s> WARNING: %s", _CALLER, what)
    elif not confirm(f"<{_CALLER}> {what}. Start them anyway?"):
        raise DeclinedError(f"<{_CALLER}> No workers were started: declined at the prompt.")


def _security() -> Security | None:
    if not dask.config.get("acme.local.tls", True):
        return None
    return cluster_security(make_keys())


def _announce(cluster: Any) -> None:
    link = dashboard_link(cluster.scheduler)
    if link is None:
        return
    logger.info("<local_cluster_setup> Cluster dashboard accessible at %s", link)
    hint = how_to_reach(link, _CALLER)
    if hint is not None:
        logger.info("%s", hint)
