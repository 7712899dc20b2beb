"""Large pickles go between client and workers through files instead of through dask's scheduler.

A parcel is either the bytes themselves, when they are few, or the name of a file that holds
them. The files lie in one folder of the run that only its owner can read, and which is gone when
the run is over: in memory or on the local disk where all workers are on this machine, else in
the output directory, which the workers share.

Back come outcomes that hold values. Those of workers on this machine are left in memory too, where
there is room; what a worker cannot leave there it sends.
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
"""Bytes up to which a parcel travels with its batch; dask advises against more in a task."""


_PREFIX = ".acme-handover-"

MEMORY = "/dev/shm"
"""Folder of Linux whose files are in memory."""


def _nothing(folder: str) -> None:
    """Do nothing."""


class LargeObjects:
    """The parcels of one run, on the client's side.

    Parameters
    ----------
    folder : str or Path or None
        Where all workers can read files; `None` where they are all on this machine.
    on_folder : callable
        Gets each folder that is made, for it to be removed even if this process is killed.
    """

    def __init__(
        self, folder: str | Path | None, on_folder: Callable[[str], object] = _nothing
    ) -> None:
        self._everywhere = None if folder is None else str(folder)
        self._on_folder = on_folder
        self._folders: dict[str | None, str] = {}
        self._marks: list[IO[bytes]] = []
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

    def outcome_folder(self) -> str | None:
        """Return a folder in memory in which workers can leave outcomes, if there is one."""
        if self._everywhere is not None or not os.access(MEMORY, os.W_OK):
            return None
        return self._folder_in(MEMORY)

    def close(self) -> None:
        """Remove all files."""
        while self._marks:
            self._marks.pop().close()
        while self._folders:
            shutil.rmtree(self._folders.popitem()[1], ignore_errors=True)

    def _write(self, content: memoryview) -> str:
        in_memory = _has_room(MEMORY, content.nbytes)
        parent = self._everywhere or (MEMORY if in_memory else None)
        path = os.path.join(self._folder_in(parent), str(next(self._numbers)))
        with open(path, "wb") as file:
            file.write(content)
        return path

    def _folder_in(self, parent: str | None) -> str:
        folder = self._folders.get(parent)
        if folder is None:
            folder = self._folders[parent] = tempfile.mkdtemp(prefix=_PREFIX, dir=parent)
            self._on_folder(folder)
            if parent == MEMORY:  # locks on a file system of several machines can hang
                abandoned_folders.remove_abandoned(parent, _PREFIX)
                self._marks.append(abandoned_folders.mark_in_use(folder))
        return folder


def _has_room(folder: str, size: int) -> bool:
    """Whether a folder in memory has ample room, for more than this."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return False
    return free > 4 * size and os.access(folder, os.W_OK)


def unpack(parcel: Parcel) -> bytes:
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


@dataclass(frozen=True)
class StoredOutcome:
    """An outcome that a worker has left in a file: a pickle, and buffers that belong to it."""

    path: str
    lengths: tuple[int, ...]

    def load(self) -> Any:
        """Read it on the client; the file is removed."""
        with open(self.path, "rb") as file:
            os.unlink(self.path)
            content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        parts, start = [], 0
        for length in self.lengths:
            parts.append(content[start : start + length])
            start += length
        return pickle.loads(parts[0], buffers=parts[1:])


def pack_outcome(outcome: Any, outcome_folder: str | None) -> bytes:
    """Pickle an outcome on a worker; a large one is left in a file if possible.

    Parameters
    ----------
    outcome : object
        What is to get to the client.
    outcome_folder : str or None
        Folder for it, from `LargeObjects.outcome_folder`.

    Returns
    -------
    bytes
        For `take`.
    """
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(outcome, pickle.HIGHEST_PROTOCOL, buffer_callback=buffers.append)
    parts = [memoryview(head), *(buffer.raw() for buffer in buffers)]
    lengths = tuple(part.nbytes for part in parts)
    if (
        outcome_folder is not None
        and sum(lengths) > INLINE_LIMIT
        and _has_room(outcome_folder, sum(lengths))
    ):
        path = os.path.join(outcome_folder, uuid.uuid4().hex)
        try:
            with open(path, "wb") as file:
                for part in parts:
                    file.write(part)
            return pickle.dumps(StoredOutcome(path, lengths))
        except OSError:  # it got full just now, or the run is over
            with contextlib.suppress(OSError):
                os.unlink(path)
    return pickle.dumps(outcome, pickle.HIGHEST_PROTOCOL) if buffers else head


def unpack_outcome(content: bytes) -> Any:
    """Unpickle an outcome on the client.

    Raises
    ------
    OSError
        If it was left in a file that cannot be read.
    """
    outcome = pickle.loads(content)
    return outcome.load() if isinstance(outcome, StoredOutcome) else outcome
