"""What goes when a cluster goes, although it lies elsewhere.

A run may need a folder in memory, or beside its results, that nobody else would remove if the
client were killed. Its path is noted in the private folder of the cluster; whoever removes that
(the client, the fork server, the last job) removes it as well. Nothing here imports more than it
must: the fork server uses it.
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

_LIST = "elsewhere"


def remove_with(client: Client, folder: str | Path) -> bool:
    """Have a folder removed at the latest when a client's cluster is, however that ends.

    Parameters
    ----------
    client : distributed.Client
        Its cluster decides.
    folder : str or pathlib.Path
        A folder of this user's.

    Returns
    -------
    bool
        Whether it will be; clusters that were not started by this package promise nothing.
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
    """Note a folder in the private one of a cluster.

    Raises
    ------
    OSError
        It cannot be written to.
    """
    with open(os.path.join(private, _LIST), "a", encoding="utf-8") as file:
        file.write(f"{os.path.abspath(folder)}\0")


def remove_noted(private: str | Path) -> None:
    """Remove the folders that are noted in a private one; those that have gone are fine."""
    import shutil

    noted = ""
    with contextlib.suppress(OSError), open(os.path.join(private, _LIST), encoding="utf-8") as file:
        noted = file.read()
    for folder in noted.split("\0"):
        if folder and _is_own_folder(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_own_folder(path: str) -> bool:
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and (os.name != "posix" or found.st_uid == os.getuid())
