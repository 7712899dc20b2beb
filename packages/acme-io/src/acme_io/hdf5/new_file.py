"""New HDF5 files whose write errors are reported as the operating system's own.

When a write fails, the HDF5 library cannot close the file any more and reports the reason as text
only. So it writes through a Python object that never fails: the object keeps the first error and
drops all later writes. Once the library has closed the file, that error is raised, with its
`errno`.
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

# Bytes between two requests to start writing to the disk, as many as are copied at once
# (`acme_io.hdf5.run_file`). Without them a flush at the end would wait for the whole file.
_WRITEBACK_STEP = 2 << 20


class NewFile:
    """A new file under its temporary name, open for direct writes and for HDF5.

    HDF5 and the direct writes take turns: `close_hdf5` before writing to `file`, `reopen_hdf5` to
    go back.

    Parameters
    ----------
    path : path_like
        The final name.
    block : int
        Size of the user block in bytes.
    dense : bool
        Whether attributes may be longer than 64 kB and members are listed in order of creation.

    Attributes
    ----------
    file : binary file
        For data that is written without the library.
    root : h5py.h5g.GroupID
        The root group, valid while HDF5 has the file open.
    """

    root: Any

    def __init__(self, path: str | Path, block: int, *, dense: bool) -> None:
        self._path, self._block, self._dense = path, block, dense
        self._temporary = atomic.temporary_path(path)
        # O_EXCL: never write into a file that another process created under this name. O_BINARY
        # exists on Windows only.
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        handle = os.open(self._temporary, flags, 0o666)  # less the umask
        self.file: BinaryIO = open(handle, "rb+", buffering=0)  # noqa: SIM115
        self._shield = _NonRaisingFile(self.file)
        self._writing_started = 0  # bytes
        make = container_properties if dense else creation_properties
        try:
            self._fid = h5f.create(memory_name(), h5f.ACC_TRUNC, make(block), self._access())
            self.root = h5g.open(self._fid, b"/")
        except BaseException:
            self.file.close()
            atomic.remove(self._temporary)
            raise

    def written_up_to(self, position: int) -> None:
        """Note that the file is written up to `position`, so that the disk can start early."""
        if position - self._writing_started >= _WRITEBACK_STEP:
            atomic.start_writing(self.file.fileno(), self._writing_started, position)
            self._writing_started = position

    def reopen_hdf5(self) -> None:
        """Open the file with HDF5 again after `close_hdf5`."""
        self._fid = h5f.open(memory_name(), h5f.ACC_RDWR, self._access())
        self.root = h5g.open(self._fid, b"/")

    def _access(self) -> h5p.PropFAID:
        access = access_properties(dense=self._dense)
        # This driver takes no file lock, and needs none: no other process knows the name yet.
        access.set_fileobj_driver(h5fd.fileobj_driver, self._shield)
        return access

    def close_hdf5(self) -> None:
        """Let HDF5 finish its part, and raise the first error of its writes."""
        if self._fid.valid:
            self._fid.close()
        if self._shield.error is not None:
            raise self._shield.error

    def publish(
        self, header: FileHeader, ranges: Sequence[tuple[int, int, int]], *, flush: bool
    ) -> None:
        """Write the header, close the file and rename it to its final name.

        Parameters
        ----------
        header : FileHeader
            Kind, run and calls; completed here.
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
        # Windows cannot rename an open file, so the rename comes after the close.
        os.replace(self._temporary, self._path)

    def abort(self) -> None:
        """Close and remove the temporary file; does nothing after `publish`."""
        if self._fid.valid:
            self._fid.close()
        self.file.close()
        atomic.remove(self._temporary)


def write_exactly(file: BinaryIO, view: Any) -> None:
    """Write all of `view`; an unbuffered file may write only a part at a time."""
    position = 0
    # 1 GiB at a time: Linux writes at most 2 GiB per call, macOS refuses more than that.
    while position < len(view):
        position += file.write(view[position : position + (1 << 30)])


class _NonRaisingFile:
    """A file object for h5py's driver that keeps the first write error instead of raising it.

    The methods are those that the driver calls. It turns an exception into an error of the library
    (a text), so none may leave this class.
    """

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
            # Past the end of the file: space allocated but not written, or a write that failed.
            # HDF5 may read metadata back; zeros let it go on until it closes the file.
            if not count:
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
        """Do nothing: the file is unbuffered."""
