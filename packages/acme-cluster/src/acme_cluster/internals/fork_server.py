"""A fork server for local workers.

A new interpreter needs most of a second to import dask; a fork of a process that has done so needs
a hundredth::

    client process                      fork server                     worker
    warm_up() ───── starts ────────►    imports distributed, numpy
    imports distributed (other core)    listens on a private socket
    a nanny needs a worker ────────►    forks ────────────────────►     reseeds random numbers,
                                                                        runs distributed's worker
    ends, in whatever way               sees the pipe close, removes    sees its pipe close, ends
                                        the run folder, ends

It is separate from the fork server of `multiprocessing`, whose preloads, environment and start
method belong to the user. It runs in its own session, so that Ctrl-C reaches the client alone,
which then stops the workers in order. This module imports nothing heavy, because it runs before
everything else.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import NoReturn

from acme_cluster.internals import preloading
from acme_cluster.lifetime.cleanup_registry import remove_noted

__all__ = ["ForkServer", "available", "running", "thread_limits", "warm_up"]

SWITCH = "acme.local.fork-server"
"""Key in dask's configuration; false leaves the making of processes to distributed."""

_SOCKET = "fork"

# Seconds to wait for a server without workers to end; it takes a few milliseconds.
_PATIENCE = 2.0

# Libraries read these variables when they are loaded, which in a fork has already happened: they
# must be in the environment of the fork server itself.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


class ForkServer:
    """A running fork server, as its client sees it.

    Parameters
    ----------
    pid : int
        Process id of the server, a child of this process.
    alive_fd : int
        Write end of a pipe; the server ends when the last copy of it is closed.
    folder : str
        Private folder (mode 0700) of this client's workers; the server removes it when it ends.
    """

    def __init__(self, pid: int, alive_fd: int, folder: str) -> None:
        self.pid = pid
        self.alive_fd = alive_fd
        self.folder = folder
        self.owner = os.getpid()
        self._ended = False

    @property
    def address(self) -> str:
        """Path of the socket that takes requests."""
        return os.path.join(self.folder, _SOCKET)

    @property
    def mine(self) -> bool:
        """Whether this process started it: a fork of this process inherits the object."""
        return self.owner == os.getpid()

    def ended(self) -> bool:
        """Return whether the server has ended, without waiting."""
        if not self._ended:
            try:
                self._ended = os.waitpid(self.pid, os.WNOHANG)[0] != 0
            except ChildProcessError:
                self._ended = True
        return self._ended

    def let_go(self) -> None:
        """Let the server end, and wait for it unless workers are still alive."""
        os.close(self.alive_fd)
        deadline = time.monotonic() + _PATIENCE
        while not self.ended() and time.monotonic() < deadline:
            time.sleep(0.002)
        if self.ended():
            _remove(self.folder)


_lock = threading.Lock()
_current: ForkServer | None = None


def available() -> bool:
    """Return whether workers can come from a fork server here.

    Returns
    -------
    bool
        True on Linux unless switched off. macOS's system libraries do not survive a fork and
        Windows has none: there, workers are spawned.
    """
    return sys.platform == "linux" and bool(sys.executable) and not _switched_off()


def _switched_off() -> bool:
    # Importing dask to read its configuration takes as long as a tenth of a first run, and the
    # server exists to start before that. Until dask is loaded only the environment counts; a
    # server that a configuration file forbids is stopped when the workers start.
    config = sys.modules.get("dask.config")
    if config is not None and hasattr(config, "get"):
        return not config.get(SWITCH, True)
    return os.environ.get("DASK_ACME__LOCAL__FORK_SERVER", "").lower() in ("false", "0")


def thread_limits(threads: int) -> dict[str, str]:
    """Return environment variables that limit the threads of numerical libraries.

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
    """Start the fork server if none is running, and return at once.

    Call it before anything imports distributed: the server then imports on another core while this
    process does the same. A second call does nothing; without a call the first workers start
    later.

    Parameters
    ----------
    preload : sequence of str, optional
        Further modules that workers will need; only the call that starts the server uses them.
        Modules that cannot be imported are skipped.
    """
    if available():
        running(preload)


def running(preload: Sequence[str] = ()) -> ForkServer:
    """Return the fork server of this process; start it if none is alive.

    Parameters
    ----------
    preload : sequence of str, optional
        As for :func:`warm_up`.

    Returns
    -------
    ForkServer
        A server that was alive a moment ago. Requests wait until its imports are done.

    Raises
    ------
    OSError
        If no folder can be made in the system's temp folder, or no process started.
    """
    global _current
    with _lock:
        if _current is not None and _current.mine:
            if not _current.ended():
                return _current
            _current.let_go()
        _current = _start(preload)
        return _current


def fork_here(folder: str, threads: int, preload: Sequence[str] = ()) -> None:
    """Import everything here, then fork this process to be the fork server.

    For a process that only looks after workers, and before it has threads.

    Parameters
    ----------
    folder : str
        Private folder of this process: the place of the socket. The server removes it at the end.
    threads : int
        Cores of one worker.
    preload : sequence of str, optional
        Further modules that workers will need.
    """
    global _current
    if not available():
        return
    os.environ.update(thread_limits(threads))
    preloading.preload([*preloading.PRELOAD, *preload])
    alive_read, alive_write = os.pipe()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.join(folder, _SOCKET))
        listener.listen(128)
        pid = os.fork()
        if pid == 0:
            os.close(alive_write)
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            _fork_requests(listener.detach(), alive_read, folder)
    os.close(alive_read)
    _current = ForkServer(pid, alive_write, folder)


def stop() -> None:
    """Release the fork server; it ends with its last worker and removes its folder."""
    global _current
    with _lock:
        if _current is not None and _current.mine:
            _current.let_go()
        _current = None


def _at_exit() -> None:
    # dask closes its clusters in an exit handler as well, but handlers run in reverse order: if
    # dask was imported first, its handler comes after this one, and waiting for the server here
    # would be in vain, since it ends with its last worker.
    local = sys.modules.get("acme_cluster.internals.live_clusters")
    if local is not None:
        local.close_all()
    stop()


atexit.register(_at_exit)


def _start(preload: Sequence[str]) -> ForkServer:
    folder = _make_folder()
    alive_read, alive_write = map(_above_standard_streams, os.pipe())
    try:
        with socket.socket(socket.AF_UNIX) as unbound:
            listener = socket.socket(fileno=_above_standard_streams(unbound.detach()))
        with listener:
            listener.bind(os.path.join(folder, _SOCKET))
            listener.listen(128)
            pid = _launch(listener.fileno(), alive_read, folder, preload)
    except BaseException:
        os.close(alive_write)
        _remove(folder)
        raise
    finally:
        os.close(alive_read)
    return ForkServer(pid, alive_write, folder)


def _above_standard_streams(descriptor: int) -> int:
    """Return a duplicate numbered 3 or more, closing the original, or the descriptor itself.

    A program started with a closed standard stream (`python x.py <&-`) gets 0, 1 or 2 for the next
    file it opens; the server's own standard input would then take this descriptor's place.
    """
    if descriptor > 2:
        return descriptor
    import fcntl

    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        os.close(descriptor)


def _make_folder() -> str:
    import tempfile

    # mkdtemp makes it with mode 0700: no other user reaches the socket inside.
    folder = tempfile.mkdtemp(prefix="acme-")
    # Linux limits the path of a unix socket to 107 bytes (`sun_path` in unix(7)); temp folders of
    # batch jobs can be longer.
    if len(os.fsencode(folder)) > 90:
        os.rmdir(folder)
        folder = tempfile.mkdtemp(prefix="acme-", dir="/tmp")
    return folder


def _launch(listener: int, alive: int, folder: str, preload: Sequence[str]) -> int:
    # The server takes over the client's sys.path before it imports anything outside of the standard
    # library, so that it finds the same modules.
    path = [entry or os.getcwd() for entry in sys.path]
    modules = [*preloading.PRELOAD, *preload]
    code = (
        f"import sys; sys.path[:] = {path!r}; "
        "from acme_cluster.internals.fork_server import serve; "
        f"serve({listener}, {alive}, {folder!r}, {modules!r}, {not preload})"
    )
    for descriptor in (listener, alive):
        os.set_inheritable(descriptor, True)
    # Without `subprocess`, whose import alone takes as long as everything else here.
    return os.posix_spawn(
        sys.executable,
        [sys.executable, *_interpreter_flags(), "-c", code],
        _environment(os.environ),
        file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)],
        setsid=True,
    )


def _interpreter_flags() -> list[str]:
    flags = ["-s"] * sys.flags.no_user_site + ["-E"] * sys.flags.ignore_environment
    if sys.flags.isolated:
        flags = ["-I"]
    if sys.flags.optimize:
        flags.append("-" + "O" * sys.flags.optimize)
    return flags


def _remove(folder: str) -> None:
    import shutil

    remove_noted(folder)
    shutil.rmtree(folder, ignore_errors=True)


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    # dask's nannies use this hash seed, so that workers on several machines agree on hashes
    # (`distributed.nanny.pre-spawn-environ`).
    defaults = {"PYTHONHASHSEED": "6640", "MALLOC_TRIM_THRESHOLD_": "65536"}
    return {**defaults, **environ, **thread_limits(1)}


# --------------------------------------------------------------------- in the server process


def serve(
    listener: int, alive: int, folder: str, preload: Sequence[str], also_registered: bool
) -> None:
    """Run as the fork server: import, then fork a worker for each request.

    Parameters
    ----------
    listener : int
        File descriptor of the listening socket.
    alive : int
        File descriptor that reads end-of-file when neither client nor worker is alive.
    folder : str
        Removed at the end.
    preload : sequence of str
        Modules to import first.
    also_registered : bool
        Whether to import the modules registered by installed packages as well.
    """
    _close_others({0, 1, 2, listener, alive})
    preloading.preload([*preload, *(preloading.registered() if also_registered else ())])
    _fork_requests(listener, alive, folder)


def _fork_requests(listener: int, alive: int, folder: str) -> NoReturn:
    from multiprocessing import forkserver

    try:
        forkserver.main(listener, alive, [])
    finally:
        # Only the server comes here, because its forks leave through os._exit. So does the server:
        # exit handlers that its imports registered are meant for the client and the workers.
        _remove(folder)
        os._exit(0)


def _close_others(keep: set[int]) -> None:
    # Inherited files and pipes of the client would stay open as long as this process lives.
    for descriptor in {int(name) for name in os.listdir("/proc/self/fd")} - keep:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def reseed() -> None:
    """Reseed the global generators of this fork, which are copies of the server's."""
    import random

    random.seed()
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
