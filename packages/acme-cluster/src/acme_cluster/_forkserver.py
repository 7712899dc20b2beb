"""A fork server of our own, from which local workers come.

A new interpreter needs most of a second to import dask; a fork of a process that did so needs a hundredth::

    client process                      fork server                     worker
    warm_up() ───── starts ────────►    imports distributed, numpy
    imports distributed (other core)    listens on a private socket
    a nanny wants a worker ────────►    forks ────────────────────►     drops what the fork must not share,
                                                                        runs distributed's worker
    ends, in whatever way               sees the pipe close, removes    sees its pipe close, ends
                                        the run folder, ends

It is separate from the fork server of `multiprocessing`, whose preloads, environment and start method belong
to the user, and it starts in a session of its own: Ctrl-C reaches the client alone, which then stops workers in
order. This module imports nothing heavy, since it runs before everything else.
"""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType

__all__ = ["ForkServerHandle", "available", "running", "thread_limits", "warm_up"]

PRELOAD = ("numpy", "distributed", "distributed.nanny", "acme_cluster._workers", "h5py")

# Libraries read these when they are loaded, which in a fork has already happened: they must be in the
# environment of the fork server itself.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


@dataclass(frozen=True)
class ForkServerHandle:
    """What the client keeps of a running fork server.

    Attributes
    ----------
    process : subprocess.Popen
        The server.
    address : str
        Path of the socket on which it takes requests, inside `folder`.
    alive_fd : int
        Write end of a pipe; the server ends when nobody holds one any more.
    folder : str
        Private folder (mode 0700) of this client's workers; the server removes it when it ends.
    """

    process: subprocess.Popen[bytes]
    address: str
    alive_fd: int
    folder: str


_lock = threading.Lock()
_handle: ForkServerHandle | None = None
_owner_pid: int | None = None


def available() -> bool:
    """Tell whether workers can come from a fork server here.

    Returns
    -------
    bool
        True on Linux. Elsewhere system libraries do not survive a fork (macOS) or there is none (Windows), and
        workers are spawned.
    """
    return sys.platform == "linux" and bool(sys.executable)


def thread_limits(threads: int) -> dict[str, str]:
    """Return the environment variables that limit the threads of numerical libraries.

    Parameters
    ----------
    threads : int
        Cores of one worker.

    Returns
    -------
    dict of str to str
        One entry per library family.
    """
    return dict.fromkeys(THREAD_VARIABLES, str(threads))


def warm_up(preload: Sequence[str] = ()) -> None:
    """Start the fork server, if there is none yet, and return at once.

    Call it before anything imports distributed: the server then does its imports on another core while this
    process does the same imports. Calling it again costs nothing, leaving it out costs time only.

    Parameters
    ----------
    preload : sequence of str, optional
        Further modules that workers will need. They count only in the call that starts the server; one that
        cannot be imported is left out.
    """
    if available():
        running(preload)


def running(preload: Sequence[str] = ()) -> ForkServerHandle:
    """Return the fork server of this process, started now if there is none that lives.

    Parameters
    ----------
    preload : sequence of str, optional
        As for :func:`warm_up`.

    Returns
    -------
    ForkServerHandle
        A server that was alive a moment ago; it may still be importing, requests wait for it.

    Raises
    ------
    OSError
        No folder in the system's temp folder, or no process, could be made.
    """
    global _handle, _owner_pid
    with _lock:
        mine = _handle is not None and _owner_pid == os.getpid()
        if mine and _handle is not None and _handle.process.poll() is None:
            return _handle
        if mine and _handle is not None:
            _forget(_handle)
        _handle, _owner_pid = _start([*PRELOAD, *preload]), os.getpid()
        return _handle


def stop() -> None:
    """Let go of the fork server; it ends as soon as the last worker has, and takes its folder with it."""
    global _handle
    with _lock:
        if _handle is not None and _owner_pid == os.getpid():
            _forget(_handle)
            _handle = None


def _forget(handle: ForkServerHandle) -> None:
    os.close(handle.alive_fd)
    try:
        handle.process.wait(timeout=2)
    except subprocess.TimeoutExpired:
        # A worker still lives; the server follows it, and the folder goes with the server.
        return
    shutil.rmtree(handle.folder, ignore_errors=True)


atexit.register(stop)


def _start(preload: Sequence[str]) -> ForkServerHandle:
    folder = _make_folder()
    address = os.path.join(folder, "fork")
    alive_read, alive_write = os.pipe()
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(address)
            os.chmod(address, 0o600)
            listener.listen(128)
            process = _launch(listener.fileno(), alive_read, folder, preload)
    except BaseException:
        os.close(alive_write)
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        os.close(alive_read)
    return ForkServerHandle(process, address, alive_write, folder)


def _make_folder() -> str:
    import tempfile

    folder = tempfile.mkdtemp(prefix="acme-")
    # The address of a unix socket may have about a hundred characters, folders of jobs have more at times.
    if len(os.fsencode(folder)) > 90:
        os.rmdir(folder)
        folder = tempfile.mkdtemp(prefix="acme-", dir="/tmp")
    return folder


def _launch(
    listener: int, alive: int, folder: str, preload: Sequence[str]
) -> subprocess.Popen[bytes]:
    # The path of the client replaces the server's before anything but the standard library is imported:
    # the same modules are found as in the client, wherever they were added from.
    path = [entry or os.getcwd() for entry in sys.path]
    code = (
        f"import sys; sys.path[:] = {path!r}; from acme_cluster._forkserver import serve; "
        f"serve({listener}, {alive}, {folder!r}, {list(preload)!r})"
    )
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return subprocess.Popen(
        [sys.executable, *flags, "-c", code],
        env=_environment(os.environ),
        pass_fds=(listener, alive),
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    # The hash seed is the one that dask's nannies use, so that workers of several machines agree on hashes.
    defaults = {"PYTHONHASHSEED": "6640", "MALLOC_TRIM_THRESHOLD_": "65536"}
    return {**defaults, **environ, **thread_limits(1)}


# ------------------------------------------------------------------------------------- in the server process


def serve(listener: int, alive: int, folder: str, preload: Sequence[str]) -> None:
    """Be the fork server: import, then fork a worker for each request. Ends with the client and its workers.

    Parameters
    ----------
    listener : int
        File descriptor of the listening socket.
    alive : int
        File descriptor that reads end-of-file when no client and no worker lives.
    folder : str
        Removed at the end.
    preload : sequence of str
        Modules to import first.
    """
    from multiprocessing import forkserver

    _preload(preload)
    try:
        forkserver.main(listener, alive, [])
    finally:
        # Only the server comes here: its forks leave through os._exit. So does the server, whose imports have
        # registered much for the end of a process, none of it its business.
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)


def _preload(names: Sequence[str]) -> None:
    import gc
    import importlib

    gc.disable()
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:
            _note_failed_preload(name, error)
    # What is here stays: collections in workers need not touch, and thereby copy, these pages.
    gc.freeze()
    gc.enable()


def _note_failed_preload(name: str, error: Exception) -> None:
    import logging

    logging.getLogger(__name__).debug("Could not preload %s: %r", name, error)


def reseed() -> None:
    """Give this fork random numbers of its own; NumPy's global state is a copy of the server's."""
    import random

    random.seed()
    numpy_random: ModuleType | None = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
