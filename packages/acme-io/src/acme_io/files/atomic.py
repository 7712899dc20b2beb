"""Files that are whole or not there: temporary names, renames, flushes to the disk.

Nothing here knows HDF5. All functions work on Linux, macOS and Windows.
"""

import contextlib
import os
import secrets
import shutil
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from acme_io.layout import temporary_name

__all__ = ["flush_folder", "remove", "remove_folder", "temporary_path", "write_whole"]

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_MODE = 0o666  # less the umask, which the system takes off

_TOKEN = ""
_TOKEN_PID = -1
_COUNT = 0


AnyPath = str | os.PathLike[str]


def temporary_path(path: AnyPath) -> str:
    """Return a path in the same folder under which to write the file; no process shares it."""
    global _TOKEN, _TOKEN_PID, _COUNT
    if os.getpid() != _TOKEN_PID:  # the first time, and after a fork
        _TOKEN, _TOKEN_PID = secrets.token_hex(6), os.getpid()
    _COUNT += 1
    folder, name = os.path.split(path)
    return os.path.join(folder, temporary_name(name, f"{_TOKEN}{_COUNT:x}"))


def write_whole(path: AnyPath, pieces: Sequence[Any], *, flush: bool = False) -> None:
    """Write a file from pieces of bytes; under its own name it is whole or not there.

    Parameters
    ----------
    path : path_like
        The final name. A file that has it is replaced.
    pieces : sequence of buffer
        The content.
    flush : bool
        Wait until the data is on the disk before the file gets its name.

    Raises
    ------
    OSError
        As the operating system says; no temporary file stays behind.
    """
    temporary = temporary_path(path)
    handle = os.open(temporary, _FLAGS, _MODE)
    try:
        try:
            _write_all(handle, pieces)
            if flush:
                os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(temporary, path)
    except BaseException:
        remove(temporary)
        raise


def _write_all(handle: int, pieces: Sequence[Any]) -> None:
    """Write every byte; `os.write` may write less than it is given (2 GB at most on Linux)."""
    for piece in pieces:
        view = memoryview(piece).cast("B")
        while len(view):
            view = view[os.write(handle, view[: 1 << 30]) :]


def flush_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system can."""
    if os.name != "posix":
        return
    with contextlib.suppress(OSError):  # some network file systems refuse it
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def start_writing(handle: int, start: int, stop: int) -> None:
    """Have the system begin to put bytes of a file on the disk, so that a flush takes less.

    Only Linux can be asked: what it is told is that the bytes are not needed in memory any more,
    and as it has to write them before it can forget them, it begins with that, and waits for
    nothing.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # it was only advice
            os.posix_fadvise(handle, start, stop - start, os.POSIX_FADV_DONTNEED)


def remove(path: AnyPath) -> None:
    """Remove a file if it is there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def remove_folder(path: Path) -> None:
    """Remove a folder of ours with everything in it, if it is there.

    Where names can go while files are open, this does not wait until the system has freed the
    space of large files, which takes as long as writing some of them.
    """
    handles = _opened(path) if os.name == "posix" else []
    shutil.rmtree(path, ignore_errors=True)
    if not handles:
        return
    if path.exists():  # network file systems keep the names of open files
        _close(handles)
        shutil.rmtree(path, ignore_errors=True)
        return
    try:
        threading.Thread(target=_close, args=(handles,), name="acme-io space").start()
    except RuntimeError:  # the interpreter is about to end
        _close(handles)


_MOST_OPEN = 64


def _opened(folder: Path) -> list[int]:
    handles: list[int] = []
    with contextlib.suppress(OSError):  # too many are open: the others are removed as usual
        for entry in os.scandir(folder):
            if len(handles) < _MOST_OPEN and entry.is_file(follow_symlinks=False):
                handles.append(os.open(entry.path, os.O_RDONLY))
    return handles


def _close(handles: list[int]) -> None:
    for handle in handles:
        os.close(handle)
