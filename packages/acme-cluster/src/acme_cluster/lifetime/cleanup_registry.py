"""Registry of folders outside a cluster's private folder that are removed together with it.

A run may keep a folder in `/dev/shm`, or beside its results, which would stay behind if the client
were killed. Its path is listed in the private folder of the cluster. The process that removes that
folder (client, fork server or last job) removes the listed ones as well. This module imports only
what it must, because the fork server uses it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["note", "remove_noted", "remove_with"]

# File in the private folder: absolute paths, each followed by a null byte, the one character that
# no path contains.
_LIST = "elsewhere"


def remove_with(client: Client, folder: str | Path) -> bool:
    """Register a folder for removal when a client's cluster ends, even if the client is killed.

    Parameters
    ----------
    client : distributed.Client
        A client of the cluster.
    folder : str or pathlib.Path
        A folder that belongs to this user. It may be removed earlier.

    Returns
    -------
    bool
        Whether the folder will be removed; False for clusters that this package did not start.
    """
    private = getattr(client.cluster, "private_folder", None)
    if private is None:
        return False
    try:
        note(private, folder)
    except OSError:  # the cluster has ended
        return False
    return True


def note(private: str | Path, folder: str | Path) -> None:
    """Add a folder to the list in a cluster's private folder.

    Raises
    ------
    OSError
        The list cannot be written: the cluster has ended.
    """
    # One short write in append mode: entries of several threads do not mix.
    with open(os.path.join(private, _LIST), "a", encoding="utf-8") as file:
        file.write(f"{os.path.abspath(folder)}\0")


def remove_noted(private: str | Path) -> None:
    """Remove the folders listed in a private folder; skip those that no longer exist."""
    # Needed at the end only, by when the fork server would otherwise have paid for it at its start.
    import shutil

    noted = ""
    with contextlib.suppress(OSError), open(os.path.join(private, _LIST), encoding="utf-8") as file:
        noted = file.read()
    for folder in noted.split("\0"):
        if folder and _is_own_folder(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_own_folder(path: str) -> bool:
    # `lstat`: a link that took the folder's place must not lead the removal elsewhere.
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and (os.name != "posix" or found.st_uid == os.getuid())
