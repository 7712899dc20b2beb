"""Folders whose process was killed: told from others by a lock that nobody holds any more.

What lies in memory would stay there until the machine is started anew.
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

_MARK = "in-use"
_SETTLED = 60.0  # seconds after which a folder has its mark


def mark_in_use(folder: str) -> IO[bytes]:
    """Mark a folder as one that this process uses, until the file that is returned is closed."""
    file = open(os.path.join(folder, _MARK), "wb")  # noqa: SIM115 - it stays open
    if sys.platform != "win32":
        fcntl.flock(file, fcntl.LOCK_EX)
    return file


def remove_abandoned(parent: str, prefix: str) -> None:
    """Remove this user's folders that nobody uses any more.

    Parameters
    ----------
    parent : str
        Folder on this machine in which they are.
    prefix : str
        How their names begin.
    """
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if entry.name.startswith(prefix):
                with contextlib.suppress(OSError):
                    _remove_if_abandoned(entry)


def _remove_if_abandoned(entry: os.DirEntry[str]) -> None:
    if sys.platform == "win32":  # has no such folders
        return
    found = entry.stat(follow_symlinks=False)
    settled = time.time() - found.st_mtime > _SETTLED
    if not (entry.is_dir(follow_symlinks=False) and found.st_uid == os.getuid() and settled):
        return
    with open(os.path.join(entry.path, _MARK), "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(entry.path, ignore_errors=True)
