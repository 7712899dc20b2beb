"""One run at a time: the claim of an output directory and a function name.

The claim is a small file that exists exactly once (`O_EXCL`, which network file systems honour
too) and says who holds it. A claim is taken over when its holder is gone: a process of this machine
that no longer runs, or one of another machine that has not touched its claim for a while.
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
"""Seconds between two signs of life."""

STALE = 20 * HEARTBEAT
"""Seconds without a sign of life after which a claim of another machine counts as abandoned."""


class RunLock:
    """The right to write results of one function to one folder.

    Parameters
    ----------
    folder : pathlib.Path
        The output directory.
    name : str
        The cleaned function name.

    Raises
    ------
    RunLockError
        Another run holds it; the message names its host and process.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / layout.claim_name(name)
        self._stop = threading.Event()
        self._take(name)
        self._beat = threading.Thread(target=self._keep_alive, name="acme-io claim", daemon=True)
        self._beat.start()

    def release(self) -> None:
        """Give the claim back; harmless when called again."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._beat.join(timeout=1)
        holder = _read(self.path)
        if holder is None or _is_me(holder):
            with contextlib.suppress(OSError):
                self.path.unlink()

    def _take(self, name: str) -> None:
        for _ in range(3):  # a stale claim may be taken over by somebody else just now
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
        # Renaming happens once: of two that find the claim stale, only one removes it.
        aside = self.path.with_name(f"{self.path.name}.{os.getpid()}.{time.monotonic_ns()}.tmp")
        with contextlib.suppress(OSError):
            os.rename(self.path, aside)
            if _read(aside) != holder:  # it was renewed in between: put it back
                with contextlib.suppress(OSError):
                    os.link(aside, self.path)
            os.unlink(aside)

    def _keep_alive(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            with contextlib.suppress(OSError):
                os.utime(self.path)


def refuse_locked(folder: Path, name: str) -> None:
    """Raise if another run is writing results of the function to the folder; writes nothing.

    Raises
    ------
    RunLockError
        Another run holds the claim.
    """
    path = folder / layout.claim_name(name)
    if path.exists() and not _is_gone(holder := _read(path), path, time.time()):
        _refuse(path, name, holder)


def _refuse(path: Path, name: str, holder: dict[str, Any] | None) -> NoReturn:
    who = holder or {"host": "unknown", "pid": "unknown"}
    raise RunLockError(
        f"Another run is writing results of {name!r} to {path.parent}: process {who.get('pid')} on "
        f"host {who.get('host')}. Wait until it has finished, or use another output_dir. If that "
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
    if holder is None:  # just being written, or its writer died in between
        return _age(path, now) > HEARTBEAT
    pid = holder.get("pid")
    if holder.get("host") == socket.gethostname() and isinstance(pid, int):
        start = _process_start(pid)
        return start is None or (holder.get("process") not in (None, start))
    return _age(path, now) > STALE


def _age(path: Path, now: float) -> float:
    """Seconds since the claim was touched."""
    with contextlib.suppress(OSError):
        return now - path.stat().st_mtime
    return 0.0


def _file_system_time(path: Path) -> float:
    """Time by the clock of the file system that holds `path`, which may be another machine's."""
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
    """Something that tells a process from a later one with the same id; None if there is none."""
    if Path("/proc/self/stat").exists():
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return None
        facts = stat.rpartition(")")[2].split()
        return None if facts[0] in "ZX" else facts[19]  # start time in clock ticks since boot
    return "running" if _runs(pid) else None


def _runs(pid: int) -> bool:
    if os.name == "nt":
        import ctypes

        kernel = ctypes.windll.kernel32  # type: ignore[attr-defined]
        handle = kernel.OpenProcess(0x1000, False, pid)  # query limited information
        if handle:
            kernel.CloseHandle(handle)
        return bool(handle)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True
