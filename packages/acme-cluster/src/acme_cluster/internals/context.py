"""A `multiprocessing` context whose processes come from our fork server, or are spawned.

Either way a new process never imports the user's main module, and the user's own settings of
`multiprocessing` (start method, main module) are left as they are.
"""

from __future__ import annotations

import io
import multiprocessing
import multiprocessing.util
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import process as mp_process
from multiprocessing import spawn
from multiprocessing.context import BaseContext, set_spawning_popen
from typing import Any, ClassVar

from acme_cluster.internals import fork_server

__all__ = ["CONTEXT", "guard_free", "preparation"]


def preparation(name: str) -> dict[str, Any]:
    """Return the data from which a new process sets itself up before it unpickles its work.

    Like `multiprocessing.spawn.get_preparation_data`, without the user's main module: workers must
    not run it, and functions defined there travel by value. The start method is not asked for,
    because `multiprocessing.get_start_method` would fix it for the rest of the user's program.

    Parameters
    ----------
    name : str
        Name of the process.

    Returns
    -------
    dict
        Understood by `multiprocessing.spawn.prepare`.
    """
    import sys

    original = getattr(mp_process, "ORIGINAL_DIR", None)
    return {
        "name": name,
        "log_to_stderr": False,
        "authkey": mp_process.current_process().authkey,
        "sys_path": [entry or original or os.getcwd() for entry in sys.path],
        "sys_argv": sys.argv,
        "orig_dir": original,
        "dir": _current_directory(),
        "start_method": "spawn",
    }


def _current_directory() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        # The user's folder was removed; the worker needs some folder to start in.
        return os.path.abspath(os.sep)


class _WorkerOSProcess(mp_process.BaseProcess):
    """A process from our fork server, or one spawned without the user's main module."""

    _start_method = "spawn"

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        if fork_server.available():
            return _forked(process_obj)
        return _spawned(process_obj)


class _WorkerContext(BaseContext):
    """A multiprocessing context whose processes are our worker processes."""

    _name: ClassVar[str] = "spawn"
    Process = _WorkerOSProcess


CONTEXT = _WorkerContext()


def _forked(process_obj: Any) -> Any:
    from multiprocessing import forkserver, reduction
    from multiprocessing.popen_forkserver import Popen

    util: Any = multiprocessing.util

    class ForkedPopen(Popen):
        _fds: list[int]

        def _launch(self, process_obj: Any) -> None:
            buffer = io.BytesIO()
            set_spawning_popen(self)
            try:
                reduction.dump(preparation(process_obj._name), buffer)
                reduction.dump(process_obj, buffer)
            finally:
                set_spawning_popen(None)
            self.sentinel, write_end = _request_fork(self._fds)
            # The child sees its parent alive as long as this second write end is open.
            parent_alive = os.dup(write_end)
            self.finalizer = util.Finalize(self, util.close_fds, (parent_alive, self.sentinel))
            with open(write_end, "wb", closefd=True) as pipe:
                pipe.write(buffer.getbuffer())
            self.pid = forkserver.read_signed(self.sentinel)

    return ForkedPopen(process_obj)


def _request_fork(fds: list[int]) -> tuple[int, int]:
    from multiprocessing import reduction

    server = fork_server.running()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(server.address)
        parent_read, child_write = os.pipe()
        child_read, parent_write = os.pipe()
        # forkserver.main expects a resource tracker's descriptor here (CPython 3.11 to 3.13). A
        # worker starts a tracker of its own if it ever needs one.
        no_tracker = os.open(os.devnull, os.O_WRONLY)
        try:
            reduction.sendfds(
                connection, [child_read, child_write, server.alive_fd, no_tracker, *fds]
            )
        except BaseException:
            os.close(parent_read)
            os.close(parent_write)
            raise
        finally:
            os.close(child_read)
            os.close(child_write)
            os.close(no_tracker)
    return parent_read, parent_write


_spawn_lock = threading.Lock()


def _spawned(process_obj: Any) -> Any:
    popen = multiprocessing.get_context("spawn").Process._Popen
    with _spawn_lock, _without_main_module(), _thread_limited_environment():
        return popen(process_obj)


@contextmanager
def _without_main_module() -> Iterator[None]:
    original, me = spawn.get_preparation_data, threading.get_ident()

    def prepared(name: str) -> dict[str, Any]:
        # The user may start processes in other threads meanwhile; theirs stay as they are.
        return preparation(name) if threading.get_ident() == me else original(name)

    spawn.get_preparation_data = prepared
    try:
        yield
    finally:
        spawn.get_preparation_data = original


@contextmanager
def _thread_limited_environment() -> Iterator[None]:
    limits = fork_server.thread_limits(1)
    before = {name: os.environ.get(name) for name in limits}
    os.environ.update(limits)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


# How distributed names the processes of its nannies (`WorkerProcess.start`, 2025.1 to 2026.8).
_DASK_WORKER = "Dask Worker process"

_guards = 0
_guard_lock = threading.Lock()
_plain_preparation = spawn.get_preparation_data


@contextmanager
def guard_free() -> Iterator[None]:
    """Keep distributed's own nannies from running the user's main module in their workers.

    Spawned processes import it, so that a script without ``if __name__ == "__main__":`` would run
    again in each worker. Nannies start processes at any time and from threads of their own, hence
    the decision is not made by thread, as elsewhere, but by the name of the process.
    """
    global _guards
    with _guard_lock:
        _guards += 1
        spawn.get_preparation_data = _guarded_preparation
    try:
        yield
    finally:
        with _guard_lock:
            _guards -= 1
            if not _guards:
                spawn.get_preparation_data = _plain_preparation


def _guarded_preparation(name: str) -> dict[str, Any]:
    return preparation(name) if name.startswith(_DASK_WORKER) else _plain_preparation(name)
