"""The run lock: one run at a time per output directory and function name.

The lock is a small file, called the claim, that names the host and process of its holder. It is
created with `O_EXCL`, which is atomic on NFS too (since version 3, see open(2)). A claim is stale,
and may be taken over, when its holder is gone: a process of this machine that no longer runs, or
one of another machine that has not touched the file for ten minutes.
"""

import contextlib
import json
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

from acme_io import layout
from acme_io.errors import RunLockError

__all__ = ["RunLock", "refuse_locked"]

HEARTBEAT = 30.0
"""Seconds between two touches of the claim."""

# Touches fail silently while a file server does not answer: a claim has to survive many of them.
STALE = 20 * HEARTBEAT
"""Seconds without a touch after which a claim of another machine is stale."""


class RunLock:
    """The exclusive right to write results of one function to one folder.

    Parameters
    ----------
    folder : pathlib.Path
        The output directory.
    name : str
        The cleaned function name.

    Raises
    ------
    RunLockError
        Another run holds the lock; the message names its host and process.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / layout.claim_name(name)
        self._stop = threading.Event()
        self._take(name)
        # A daemon: an interpreter that exits without `release` must not wait for the next touch.
        # What stays is a claim whose process is gone.
        self._beat = threading.Thread(target=self._keep_alive, name="acme-io claim", daemon=True)
        self._beat.start()

    def release(self) -> None:
        """Remove the claim; does nothing when called again."""
        if self._stop.is_set():
            return
        self._stop.set()
        # A touch may hang in the kernel with its file server; one second, then go on without it.
        self._beat.join(timeout=1)
        holder = _read(self.path)
        # The claim may be another run's by now, if this machine was silent for too long.
        if holder is None or _is_me(holder):
            with contextlib.suppress(OSError):
                self.path.unlink()

    def _take(self, name: str) -> None:
        # Between the removal of a stale claim and the next attempt another run may be faster.
        for _ in range(3):
            try:
                handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            except FileExistsError:
                self._remove_stale(name)
                continue
            with open(handle, "w", encoding="utf-8") as file:
                json.dump(_me(), file)
            return
        _refuse(self.path, name, _read(self.path))

    def _remove_stale(self, name: str) -> None:
        holder = _read(self.path)
        if not _is_gone(holder, self.path, _file_system_time(self.path)):
            _refuse(self.path, name, holder)
        # Unlinking could hit the new claim of a run that was faster. A rename succeeds for one
        # contender only, and shows afterwards which claim it took.
        aside = self.path.with_name(f"{self.path.name}.{os.getpid()}.{time.monotonic_ns()}.tmp")
        with contextlib.suppress(OSError):
            os.rename(self.path, aside)
            if _read(aside) != holder:
                # It was the new claim. Put it back with `link`, which, unlike `rename`, fails if
                # there is yet another claim by now.
                with contextlib.suppress(OSError):
                    os.link(aside, self.path)
            os.unlink(aside)

    def _keep_alive(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            # Without explicit times the file server stamps its own clock, the one that
            # `_file_system_time` reads: clocks of two machines are never compared.
            with contextlib.suppress(OSError):
                os.utime(self.path)


def refuse_locked(folder: Path, name: str) -> None:
    """Raise if another run is writing results of the function to the folder.

    Raises
    ------
    RunLockError
        Another run holds the lock.
    """
    path = folder / layout.claim_name(name)
    # This check leaves no trace, so it creates no file to read the server's clock from. If
    # the clocks differ it may miss a valid claim, which `RunLock` then finds by the right clock.
    if path.exists() and not _is_gone(holder := _read(path), path, time.time()):
        _refuse(path, name, holder)


def _refuse(path: Path, name: str, holder: dict[str, Any] | None) -> NoReturn:
    who = holder or {"host": "unknown", "pid": "unknown"}
    raise RunLockError(
        f"Another run is writing results of {name!r} to {path.parent}: process {who.get('pid')} on "
        f"host {who.get('host')}. Wait for it to finish, or pass another output_dir. If that "
        f"process no longer exists, remove {path}."
    )


def _me() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": time.time(),
        "process": _process_start(os.getpid()),
    }


def _is_me(holder: dict[str, Any]) -> bool:
    return holder.get("host") == socket.gethostname() and holder.get("pid") == os.getpid()


def _read(path: Path) -> dict[str, Any] | None:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return holder if isinstance(holder, dict) else None


def _is_gone(holder: dict[str, Any] | None, path: Path, now: float) -> bool:
    # A claim is empty for a moment after its creation; an older one was left by a killed process.
    if holder is None:
        return _age(path, now) > HEARTBEAT
    pid = holder.get("pid")
    if holder.get("host") == socket.gethostname() and isinstance(pid, int):
        start = _process_start(pid)
        # The same id with another start time is a later process that got the number by chance.
        return start is None or (holder.get("process") not in (None, start))
    return _age(path, now) > STALE


def _age(path: Path, now: float) -> float:
    """Seconds since the claim was touched."""
    with contextlib.suppress(OSError):
        return now - path.stat().st_mtime
    return 0.0


def _file_system_time(path: Path) -> float:
    """Time by the clock of the file system that holds `path`; on NFS that is the server's."""
    probe = path.with_name(f"{path.name}.{os.getpid()}.{time.monotonic_ns()}.tmp")
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:
        return time.time()
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()


def _process_start(pid: int) -> str | None:
    """Return a text that differs between processes with the same id; None if none runs."""
    # Start times are read on Linux only. Elsewhere a reused id counts as the old process: the
    # claim stays, and the error message says how to remove it.
    if Path("/proc/self/stat").exists():
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return None
        # proc(5): the second field is the name in parentheses, which may contain some itself.
        # After it come the state (Z is a zombie, X dead) and, 19 fields later, the start time in
        # clock ticks since boot.
        facts = stat.rpartition(")")[2].split()
        return None if facts[0] in "ZX" else facts[19]
    return "running" if _runs(pid) else None


def _runs(pid: int) -> bool:
    # On Windows, `os.kill(pid, 0)` would send CTRL_C_EVENT, which is 0 there.
    if os.name == "nt":
        import ctypes

        kernel = ctypes.windll.kernel32  # type: ignore[attr-defined]
        # 0x1000 is PROCESS_QUERY_LIMITED_INFORMATION, allowed for other users' processes too.
        handle = kernel.OpenProcess(0x1000, False, pid)
        if handle:
            kernel.CloseHandle(handle)
        return bool(handle)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # EPERM: it runs, as another user
        pass
    return True
