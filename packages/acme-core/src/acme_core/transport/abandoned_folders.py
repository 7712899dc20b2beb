"""Folders left behind by killed processes, recognized by a lock that is no longer held.

The kernel releases a lock when its process ends, for whatever reason. Without this clean-up,
folders in memory (``/dev/shm``) would stay until the machine reboots.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from typing import IO

if sys.platform != "win32":
    import fcntl

# Name of the locked file in each folder.
_MARK = "in-use"
# Seconds that a new folder is left alone: its process may not have locked the file yet.
_SETTLED = 60.0


def mark_in_use(folder: str) -> IO[bytes]:
    """Mark a folder as in use by this process until the returned file is closed."""
    file = open(os.path.join(folder, _MARK), "wb")  # noqa: SIM115 - it stays open
    if sys.platform != "win32":
        fcntl.flock(file, fcntl.LOCK_EX)
    return file


def remove_abandoned(parent: str, prefix: str) -> None:
    """Remove this user's folders in ``parent`` whose process is gone.

    Parameters
    ----------
    parent : str
        A folder on this machine: locks on network file systems can hang.
    prefix : str
        Prefix of the folders' names.
    """
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if entry.name.startswith(prefix):
                with contextlib.suppress(OSError):
                    _remove_if_abandoned(entry)


def _remove_if_abandoned(entry: os.DirEntry[str]) -> None:
    if sys.platform == "win32":  # no fcntl, and no folder in memory
        return
    found = entry.stat(follow_symlinks=False)
    settled = time.time() - found.st_mtime > _SETTLED
    if not (entry.is_dir(follow_symlinks=False) and found.st_uid == os.getuid() and settled):
        return
    with open(os.path.join(entry.path, _MARK), "rb") as file:
        # Raises OSError (suppressed by the caller) while the process of the folder is alive.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(entry.path, ignore_errors=True)
