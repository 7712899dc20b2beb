"""Files that are either complete or absent: temporary names, renames, flushes to the disk.

All functions work on Linux, macOS and Windows.
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

# O_EXCL: fail instead of writing into a file of another process. O_BINARY exists on Windows only,
# where descriptors would otherwise translate line breaks.
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
# The system subtracts the umask. `tempfile` would create files that only their owner can read.
_MODE = 0o666

# A random token per process and a counter per file: 48 random bits keep the processes of all
# machines on a shared file system apart, which process ids do not.
_TOKEN = ""
_TOKEN_PID = -1
_COUNT = 0


AnyPath = str | os.PathLike[str]


def temporary_path(path: AnyPath) -> str:
    """Return an unused path in the folder of `path`, under which to write the file first."""
    # The same folder, because a rename is atomic only within one file system.
    global _TOKEN, _TOKEN_PID, _COUNT
    # At the first call, and in a forked process, which inherits the token of its parent.
    if os.getpid() != _TOKEN_PID:
        _TOKEN, _TOKEN_PID = secrets.token_hex(6), os.getpid()
    _COUNT += 1
    folder, name = os.path.split(path)
    return os.path.join(folder, temporary_name(name, f"{_TOKEN}{_COUNT:x}"))


def write_whole(path: AnyPath, pieces: Sequence[Any], *, flush: bool = False) -> None:
    """Write a file from pieces of bytes; under its final name it is complete or absent.

    Parameters
    ----------
    path : path_like
        The final name; an existing file is replaced.
    pieces : sequence of buffer
        The content.
    flush : bool
        Whether to wait until the data is on the disk before the file gets its final name.

    Raises
    ------
    OSError
        The operating system's own error; the temporary file is removed.
    """
    temporary = temporary_path(path)
    handle = os.open(temporary, _FLAGS, _MODE)
    try:
        try:
            _write_all(handle, pieces)
            if flush:
                os.fsync(handle)
        finally:
            # Some network file systems report a full disk or quota only here.
            os.close(handle)
        # Unlike `os.rename`, this replaces an existing file on Windows too.
        os.replace(temporary, path)
    # Ctrl-C included. A killed process leaves its temporary file; those are never read as results.
    except BaseException:
        remove(temporary)
        raise


def _write_all(handle: int, pieces: Sequence[Any]) -> None:
    """Write every byte; `os.write` may write only a part."""
    for piece in pieces:
        view = memoryview(piece).cast("B")
        # 1 GiB at a time: Linux writes at most 2 GiB per call, macOS refuses more than that.
        while len(view):
            view = view[os.write(handle, view[: 1 << 30]) :]


def flush_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system supports it."""
    # `fsync` of a file does not cover its directory entry (fsync(2)). Windows cannot open folders.
    if os.name != "posix":
        return
    with contextlib.suppress(OSError):  # some network file systems refuse it
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def start_writing(handle: int, start: int, stop: int) -> None:
    """Ask the system to start writing a range of a file to the disk, which shortens a later flush.

    On Linux only. POSIX_FADV_DONTNEED says that the bytes are no longer needed in memory; the
    kernel starts to write dirty pages before it can drop them, and does not wait for the disk.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # it was only advice
            os.posix_fadvise(handle, start, stop - start, os.POSIX_FADV_DONTNEED)


def remove(path: AnyPath) -> None:
    """Remove a file if it is there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def remove_folder(path: Path) -> None:
    """Remove a folder with everything in it, if it exists.

    On POSIX systems this does not wait until the space of large files is freed, which takes as long
    as writing some of them.
    """
    # Unlinking an open file removes its name at once and its data with the last `close`, which a
    # thread does in the background.
    handles = _opened(path) if os.name == "posix" else []
    shutil.rmtree(path, ignore_errors=True)
    if not handles:
        return
    # NFS renames an open file to `.nfs…` instead of removing it, so the folder is not empty.
    if path.exists():
        _close(handles)
        shutil.rmtree(path, ignore_errors=True)
        return
    try:
        # Not a daemon: the interpreter waits for it at exit instead of killing it.
        threading.Thread(target=_close, args=(handles,), name="acme-io space").start()
    except RuntimeError:  # no thread can be started while the interpreter shuts down
        _close(handles)


# Files kept open by `remove_folder`. Far below the usual limit of 1024 per process, and enough for
# the parts of a run, one per batch or worker; further ones are removed as usual.
_MAX_OPEN = 64


def _opened(folder: Path) -> list[int]:
    handles: list[int] = []
    # Too many open files, or a file that went away: the others are removed as usual.
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if len(handles) < _MAX_OPEN and entry.is_file(follow_symlinks=False):
                handles.append(os.open(entry.path, os.O_RDONLY))
    return handles


def _close(handles: list[int]) -> None:
    for handle in handles:
        os.close(handle)
