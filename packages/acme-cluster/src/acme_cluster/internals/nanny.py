"""distributed's nanny and worker, with processes from our own fork server.

A nanny lives in the client process and watches one worker process. Differences from distributed:
the process is forked (or spawned) by us, it never imports the user's script, the environment of the
client stays untouched, and neither nanny nor worker serves web pages.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import logging
import os
import threading
import uuid
import weakref
from collections.abc import Mapping
from queue import Empty
from typing import TYPE_CHECKING, Any

import dask
from distributed.core import Status
from distributed.nanny import Nanny, WorkerProcess
from distributed.process import AsyncProcess, _asyncprocess_finalizer
from distributed.worker import Worker

from acme_cluster.console.dask_logging import silenced
from acme_cluster.internals import fork_server, process_group
from acme_cluster.internals.context import CONTEXT
from acme_cluster.internals.fast_imports import quick_yaml
from acme_cluster.internals.tls import lighten_accepting

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LocalNanny", "SilentWorker"]


class SilentWorker(Worker):
    """A worker without an HTTP server, which closes at once when its scheduler has gone."""

    async def close(self, *args: Any, **kwargs: Any) -> Any:
        """Close, without waiting for running calls if the scheduler has gone.

        Returns
        -------
        object
            Result of `distributed.Worker.close`.
        """
        # `Worker.handle_scheduler` closes with this reason when the connection breaks; there is
        # nobody left to take the results of calls that still run.
        if "connection-broken" in str(kwargs.get("reason", "")):
            kwargs |= {"executor_wait": False, "timeout": 1}
        return await super().close(*args, **kwargs)

    def start_http_server(self, *args: object, **kwargs: object) -> None:
        """Serve no pages: the scheduler's dashboard shows the workers."""


class LocalNanny(Nanny):
    """A nanny whose worker process comes from the fork server (or is spawned).

    Parameters
    ----------
    *args, **kwargs
        As for `distributed.Nanny`.
    cores : int, default 1
        Cores that numerical libraries in the worker may use.
    """

    def __init__(self, *args: Any, cores: int = 1, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cores = cores

    async def instantiate(self) -> Any:
        """Start the worker process and wait until it has connected.

        Returns
        -------
        distributed.core.Status
            `Status.running` on success.
        """
        if self.process is None:
            self.process = self._new_process()
        return await super().instantiate()

    def _new_process(self) -> _LocalWorkerProcess:
        keywords = {
            "scheduler_ip": self.scheduler_addr,
            "nthreads": self.nthreads,
            "local_directory": self._original_local_dir,
            "services": self.services,
            "nanny": self.address,
            "name": self.name,
            "memory_limit": self.memory_manager.memory_limit,
            "resources": self.resources,
            "validate": self.validate,
            "silence_logs": self.silence_logs,
            "death_timeout": self.death_timeout,
            "preload": self.preload,
            "preload_argv": self.preload_argv,
            "security": self.security,
            "contact_address": self.contact_address,
            **self.worker_kwargs,
        }
        # acme-core limits the threads of each call anew and reads the number of cores here.
        cores = {"ACME_WORKER_CORES": str(self.cores)}
        environ = {**self.env, **fork_server.thread_limits(self.cores), **cores}
        return _LocalWorkerProcess(  # type: ignore[no-untyped-call]
            worker_kwargs=keywords,
            silence_logs=self.silence_logs,
            on_exit=self._on_worker_exit_sync,
            worker=self.Worker,
            env=environ,
            pre_spawn_env={},
            config=self.config,
        )


class _LocalWorkerProcess(WorkerProcess):
    """Starts one worker process, in our context and without touching `os.environ`."""

    _init_msg_interval = 0.005

    async def start(self) -> Any:
        if self.status == Status.starting:
            await self.running.wait()
        if self.status == Status.running:
            return self.status
        self.init_result_q = init_queue = _PipeQueue()
        self.child_stop_q = _PipeQueue()
        uid = uuid.uuid4().hex
        self.process = _LocalAsyncProcess(  # type: ignore[no-untyped-call]
            target=self._target(uid), name="ACME worker"
        )
        self.process.daemon = True
        self.process.set_exit_callback(self._on_exit)
        self.running, self.stopped = asyncio.Event(), asyncio.Event()
        self.status = Status.starting
        try:
            await self.process.start()  # type: ignore[no-untyped-call]
            message = await self._connected(uid, init_queue)
        finally:
            self.running.set()
        if message and self.status == Status.starting:
            self.worker_address, self.worker_dir = message["address"], message["dir"]
            self.status = Status.running
        return self.status

    def _on_exit(self, proc: Any) -> None:
        process_group.end_group_of(proc.pid)
        super()._on_exit(proc)  # type: ignore[no-untyped-call]

    def _target(self, uid: str) -> Callable[[], None]:
        return functools.partial(
            _run_worker,
            # The fork server was started earlier, possibly with another environment.
            environ={**os.environ, **self.env, "__DASK_PARENT_PID": str(os.getpid())},
            silence_logs=self.silence_logs,
            init_result_q=self.init_result_q,
            child_stop_q=self.child_stop_q,
            uid=uid,
            worker_factory=functools.partial(self.Worker, **self.worker_kwargs),
            config=self.config,
        )

    async def _connected(self, uid: str, init_queue: _PipeQueue) -> dict[str, Any] | None:
        try:
            message: dict[str, Any] | None
            waiting: Any = self._wait_until_connected
            # distributed 2026.8 added a parameter for the queue.
            given = (uid, init_queue)[: len(inspect.signature(waiting).parameters)]
            message = await waiting(*given)
        except Exception:
            if self.process is not None:
                await self.process.terminate()
            if self.status == Status.starting:
                self.status = Status.failed
            raise
        return message


class _PipeQueue:
    """The part of `multiprocessing.Queue` that nanny and worker use, on a bare pipe.

    A real queue needs a thread, and semaphores for which Python starts a further process. Here
    messages are small, and there is one writer and one reader.
    """

    def __init__(self) -> None:
        self._reader, self._writer = CONTEXT.Pipe(duplex=False)
        self._closed = False

    def put(self, message: object) -> None:
        if self._closed:
            raise ValueError("The queue between nanny and worker is closed.")
        self._writer.send(message)

    def get(self) -> Any:
        return self._reader.recv()

    def get_nowait(self) -> Any:
        try:
            if self._reader.poll():
                return self._reader.recv()
        except (EOFError, OSError):
            # The worker died before its first message. Its end is noticed elsewhere and it is
            # replaced; an exception here would make the nanny give up instead.
            pass
        raise Empty

    def close(self) -> None:
        # The pipe stays open until this object is collected: a thread may still read from it.
        self._closed = True

    def join_thread(self) -> None:
        """Return at once, as there is no thread."""


class _LocalAsyncProcess(AsyncProcess):
    """Replaces the process that distributed prepared with one in our context."""

    def _start_threads(self) -> None:
        prepared: Any = self._process
        self._process: Any = CONTEXT.Process(
            target=prepared._target, name=prepared.name, args=prepared._args
        )
        self._proc_finalizer = weakref.finalize(self, _asyncprocess_finalizer, self._process)
        super()._start_threads()  # type: ignore[no-untyped-call]

    @classmethod
    def _immediate_exit_when_closed(cls, parent_alive_pipe: Any) -> None:
        def watch() -> None:
            # Nothing is ever sent: it ends when the parent closes its end, or has died.
            with contextlib.suppress(EOFError, OSError):
                parent_alive_pipe.recv()
            process_group.end_all()

        threading.Thread(target=watch, name="parent watch", daemon=True).start()


def _run_worker(environ: Mapping[str, str], **arguments: Any) -> None:
    """Run a worker: the first function of this package in the new process."""
    os.environ.clear()
    os.environ.update(environ)
    fork_server.reseed()
    _forget_resource_tracker()
    lighten_accepting()
    _refresh_quickly()
    process_group.lead()
    with silenced(logging.CRITICAL):
        try:
            WorkerProcess._run(env={}, **arguments)
        finally:
            process_group.end_others()


def _refresh_quickly() -> None:
    """Make the next `dask.config.refresh`, which distributed is about to call, use the C parser."""
    refresh = dask.config.refresh

    def once(*args: Any, **kwargs: Any) -> None:
        dask.config.refresh = refresh
        with quick_yaml():
            refresh(*args, **kwargs)

    dask.config.refresh = once


def _forget_resource_tracker() -> None:
    if not fork_server.available():
        return
    from multiprocessing import resource_tracker

    tracker: Any = resource_tracker._resource_tracker
    if tracker._fd is not None:
        os.close(tracker._fd)
        tracker._fd = None
