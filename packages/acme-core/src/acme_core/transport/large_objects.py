"""Large pickles go between client and workers through files instead of dask's scheduler.

A parcel is either the bytes themselves, if they are few, or the name of a file that holds them.
The files are in one folder per run that only its owner can read and that is removed when the run
ends: in memory or on the local disk if all workers are on this machine, otherwise in the output
directory, which the workers share.

Large outcomes of workers on this machine come back through memory in the same way, if it has room.
All others are sent. For 1 GB of results, memory took 1.3 s and encrypted connections 6 s.
"""

from __future__ import annotations

import contextlib
import itertools
import mmap
import os
import pickle
import shutil
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from acme_core.errors import SharedFilesError
from acme_core.transport import abandoned_folders

Parcel = bytes | str
"""Bytes, or the name of a file that holds them."""

INLINE_LIMIT = 256 * 1024
"""Bytes up to which a parcel travels with its batch.

dask advises against more in a task: the scheduler keeps it in memory until the task is done.
"""

MEMORY = "/dev/shm"
"""Folder whose files are in memory on Linux (tmpfs); other systems have none."""

# Hidden, because the folder may be in the user's output directory.
_PREFIX = ".acme-handover-"


def _ignore(folder: str) -> None:
    pass


class LargeObjects:
    """The parcels of one run, on the client's side.

    Parameters
    ----------
    folder : str or Path or None
        A folder that all workers can read; `None` if they are all on this machine.
    on_folder : callable
        Called with each new folder, to have it removed even if this process is killed.
    """

    def __init__(
        self, folder: str | Path | None, on_folder: Callable[[str], object] = _ignore
    ) -> None:
        self._shared_folder = None if folder is None else str(folder)
        self._on_folder = on_folder
        self._folders: dict[str | None, str] = {}
        self._marks: list[IO[bytes]] = []
        self._numbers = itertools.count()

    def pack(self, content: bytes) -> Parcel:
        """Return a pickle as a parcel, written to a file if it is large.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        if len(content) <= INLINE_LIMIT:
            return content
        return self._write(memoryview(content))

    def save(self, array: np.ndarray[Any, Any]) -> str:
        """Write the bytes of a contiguous array to a file and return the file's name.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        return self._write(array.reshape(-1).view(np.uint8).data)

    def release(self, parcel: Parcel) -> None:
        """Remove the file of a parcel that no worker needs anymore."""
        if isinstance(parcel, str):
            with contextlib.suppress(OSError):
                os.unlink(parcel)

    def outcome_folder(self) -> str | None:
        """Return a folder in memory for outcomes, or `None` if client and workers share none."""
        if self._shared_folder is not None or not os.access(MEMORY, os.W_OK):
            return None
        return self._folder_in(MEMORY)

    def close(self) -> None:
        """Remove all files."""
        while self._marks:
            self._marks.pop().close()
        while self._folders:
            shutil.rmtree(self._folders.popitem()[1], ignore_errors=True)

    def _write(self, content: memoryview) -> str:
        # Memory first: a worker on this machine then maps or reads the file without disk access.
        in_memory = _has_room(MEMORY, content.nbytes)
        parent = self._shared_folder or (MEMORY if in_memory else None)
        path = os.path.join(self._folder_in(parent), str(next(self._numbers)))
        with open(path, "wb") as file:
            file.write(content)
        return path

    def _folder_in(self, parent: str | None) -> str:
        folder = self._folders.get(parent)
        if folder is None:
            folder = self._folders[parent] = tempfile.mkdtemp(prefix=_PREFIX, dir=parent)
            self._on_folder(folder)
            # Only in memory: locks on network file systems can hang, and disks survive anyway.
            if parent == MEMORY:
                abandoned_folders.remove_abandoned(parent, _PREFIX)
                self._marks.append(abandoned_folders.mark_in_use(folder))
        return folder


def _has_room(folder: str, size: int) -> bool:
    """Whether a folder in memory has room for four times the size.

    Four times, because calls and other programs need that memory as well.
    """
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return False
    return free > 4 * size and os.access(folder, os.W_OK)


def unpack(parcel: Parcel) -> bytes:
    """Return the content of a parcel, on a worker.

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
            f"a worker cannot read the large arguments in {parcel} ({error.strerror}). Start "
            "ParallelMap in a folder that the workers' machines share, or set output_dir to one."
        ) from error


@dataclass(frozen=True)
class StoredOutcome:
    """An outcome that a worker left in a file: a pickle, followed by its out-of-band buffers."""

    path: str
    lengths: tuple[int, ...]

    def load(self) -> Any:
        """Return the outcome, on the client, and remove the file."""
        with open(self.path, "rb") as file:
            # The buffers are views of the mapping, not copies. Its pages are freed with the last
            # view; the name is no longer needed.
            os.unlink(self.path)
            content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        parts, start = [], 0
        for length in self.lengths:
            parts.append(content[start : start + length])
            start += length
        return pickle.loads(parts[0], buffers=parts[1:])


def pack_outcome(
    outcome: Any, outcome_folder: str | None, inline_limit: float = INLINE_LIMIT
) -> bytes:
    """Pickle an outcome on a worker for `unpack_outcome`; a large one goes to a file if possible.

    Parameters
    ----------
    outcome : object
        The outcome.
    outcome_folder : str or None
        The folder from `LargeObjects.outcome_folder`.
    inline_limit : float
        Size in bytes up to which it never goes to a file.
    """
    # Out-of-band buffers (pickle protocol 5) are written without a copy of the arrays.
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(outcome, pickle.HIGHEST_PROTOCOL, buffer_callback=buffers.append)
    parts = [memoryview(head), *(buffer.raw() for buffer in buffers)]
    lengths = tuple(part.nbytes for part in parts)
    if (
        outcome_folder is not None
        and sum(lengths) > inline_limit
        and _has_room(outcome_folder, sum(lengths))
    ):
        path = os.path.join(outcome_folder, uuid.uuid4().hex)
        try:
            with open(path, "wb") as file:
                for part in parts:
                    file.write(part)
            return pickle.dumps(StoredOutcome(path, lengths))
        except OSError:  # another process filled the folder, or the run is over
            with contextlib.suppress(OSError):
                os.unlink(path)
    return pickle.dumps(outcome, pickle.HIGHEST_PROTOCOL) if buffers else head


def unpack_outcome(content: bytes) -> Any:
    """Unpickle an outcome on the client.

    Raises
    ------
    OSError
        If its file cannot be read.
    """
    outcome = pickle.loads(content)
    return outcome.load() if isinstance(outcome, StoredOutcome) else outcome
