"""Large pickles go to the workers through a file instead of through dask's scheduler.

A parcel is either the bytes themselves, when they are few, or the name of a file that holds
them. The files lie in one folder of the run that only its owner can read, and which is gone when
the run is over: in memory or on the local disk where all workers are on this machine, else in
the output directory, which the workers share.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from acme_core.errors import SharedFilesError

Parcel = bytes | str
"""Bytes, or the name of a file that holds them."""

INLINE_LIMIT = 256 * 1024
"""Bytes up to which a parcel travels with its batch; dask advises against more in a task."""


class Handover:
    """The parcels of one run, on the client's side.

    Parameters
    ----------
    folder : str or Path or None
        Where all workers can read files; `None` where they are all on this machine.
    """

    def __init__(self, folder: str | Path | None) -> None:
        self._everywhere = None if folder is None else str(folder)
        self._folders: dict[str | None, str] = {}
        self._numbers = itertools.count()

    def pack(self, content: bytes) -> Parcel:
        """Make a parcel of a pickle.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        if len(content) <= INLINE_LIMIT:
            return content
        return self._write(memoryview(content))

    def save(self, array: np.ndarray[Any, Any]) -> str:
        """Write the bytes of a contiguous array to a file, and return its name.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        return self._write(array.reshape(-1).view(np.uint8).data)

    def release(self, parcel: Parcel) -> None:
        """Remove the file of a parcel that no worker needs any more."""
        if isinstance(parcel, str):
            with contextlib.suppress(OSError):
                os.unlink(parcel)

    def close(self) -> None:
        """Remove all files."""
        while self._folders:
            shutil.rmtree(self._folders.popitem()[1], ignore_errors=True)

    def _write(self, content: memoryview) -> str:
        parent = self._everywhere or _local_parent(content.nbytes)
        if parent not in self._folders:
            self._folders[parent] = tempfile.mkdtemp(prefix=".acme-handover-", dir=parent)
        path = os.path.join(self._folders[parent], str(next(self._numbers)))
        with open(path, "wb") as file:
            file.write(content)
        return path


def _local_parent(size: int) -> str | None:
    """Return the folder in memory where it has ample room, else that of temporary files."""
    memory = "/dev/shm"
    try:
        free = shutil.disk_usage(memory).free
    except OSError:
        return None
    return memory if free > 4 * size and os.access(memory, os.W_OK) else None


def fetch(parcel: Parcel) -> bytes:
    """Get the content of a parcel, on a worker.

    Raises
    ------
    SharedFilesError
        If this worker cannot read the file.
    """
    if isinstance(parcel, bytes):
        return parcel
    try:
        with open(parcel, "rb") as file:
            return file.read()
    except OSError as error:
        raise SharedFilesError(
            f"a worker cannot read {parcel} ({error.strerror}), in which large arguments were "
            "handed over. Start ParallelMap in a folder that the workers' machines share, or "
            "give an output_dir there."
        ) from error
