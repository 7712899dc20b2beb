"""New HDF5 files that may fail to be written.

The HDF5 library does not take it well when a write fails: it cannot close the file any more, and
tells the reason in a text. So it writes through a Python object that never fails. The first error
is kept, whatever comes after it is dropped, and once the library has closed the file in peace the
error is raised: the operating system's own, with its number.
"""

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from h5py import h5f, h5fd, h5g, h5p

from acme_io.files import atomic
from acme_io.files.header import FileHeader, write_header
from acme_io.hdf5.objects import (
    access_properties,
    container_properties,
    creation_properties,
    memory_name,
)

__all__ = ["NewFile", "write_exactly"]

_AHEAD = 2 << 20  # bytes after which the system is asked to put them on the disk


class NewFile:
    """A new file under its temporary name, open to direct writes and, in between, to HDF5.

    Parameters
    ----------
    path : path_like
        Its final name.
    block : int
        Size of its user block in bytes.
    dense : bool
        Whether attributes may be longer than 64 kB and members are listed in order of creation.

    Attributes
    ----------
    file : binary file
        For data that goes around the library.
    root : h5py.h5g.GroupID
        The root group, while HDF5 has the file open.
    """

    root: Any

    def __init__(self, path: str | Path, block: int, *, dense: bool) -> None:
        self._path, self._block, self._dense = path, block, dense
        self._temporary = atomic.temporary_path(path)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        handle = os.open(self._temporary, flags, 0o666)  # less the umask
        self.file: BinaryIO = open(handle, "rb+", buffering=0)  # noqa: SIM115
        self._quiet = _Quiet(self.file)
        self._started = 0
        make = container_properties if dense else creation_properties
        try:
            self._fid = h5f.create(memory_name(), h5f.ACC_TRUNC, make(block), self._access())
            self.root = h5g.open(self._fid, b"/")
        except BaseException:
            self.file.close()
            atomic.remove(self._temporary)
            raise

    def written_up_to(self, position: int) -> None:
        """Note how far the file is written; now and then the disk is asked to begin with it."""
        if position - self._started >= _AHEAD:
            atomic.start_writing(self.file.fileno(), self._started, position)
            self._started = position

    def reopen_hdf5(self) -> None:
        """Let HDF5 go on with a file that it has closed."""
        self._fid = h5f.open(memory_name(), h5f.ACC_RDWR, self._access())
        self.root = h5g.open(self._fid, b"/")

    def _access(self) -> h5p.PropFAID:
        access = access_properties(dense=self._dense)
        access.set_fileobj_driver(h5fd.fileobj_driver, self._quiet)
        return access

    def close_hdf5(self) -> None:
        """Let HDF5 finish its part; raises what went wrong with writing it."""
        if self._fid.valid:
            self._fid.close()
        if self._quiet.error is not None:
            raise self._quiet.error

    def publish(
        self, header: FileHeader, ranges: Sequence[tuple[int, int, int]], *, flush: bool
    ) -> None:
        """FileHeader the file and give it its name.

        Parameters
        ----------
        header : FileHeader
            Kind, run and calls; gets completed.
        ranges : sequence of (int, int, int)
            Offset, length and checksum of each large dataset.
        flush : bool
            Wait until the file is on the disk.
        """
        self.close_hdf5()
        header.block = self._block
        write_header(header, self.file, ranges)
        if flush:
            os.fsync(self.file.fileno())
        self.file.close()
        os.replace(self._temporary, self._path)

    def abort(self) -> None:
        """Remove the file; harmless after `publish`."""
        if self._fid.valid:
            self._fid.close()
        self.file.close()
        atomic.remove(self._temporary)


def write_exactly(file: BinaryIO, view: Any) -> None:
    """Write every byte; an unbuffered file may write less than it is given."""
    position = 0
    while position < len(view):
        position += file.write(view[position : position + (1 << 30)])


class _Quiet:
    """A file object for the HDF5 library whose methods never raise."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: BaseException | None = None

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        view, position = memoryview(buffer).cast("B"), 0
        while position < len(view):
            count = self._file.readinto(view[position:])  # type: ignore[attr-defined]
            if not count:  # beyond what was written, or what could not be written
                view[position:] = b"\0" * (len(view) - position)
                break
            position += count
        return len(view)

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        if self.error is None:
            try:
                write_exactly(self._file, view)
            except BaseException as error:
                self.error = error
        return len(view)

    def truncate(self, size: int) -> int:
        if self.error is None:
            try:
                self._file.truncate(size)
            except BaseException as error:
                self.error = error
        return size

    def flush(self) -> None:
        """Nothing is buffered."""
