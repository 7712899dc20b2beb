"""Open a file of acme-io to read it: check its header first, then hand the same bytes to HDF5.

Small files are read into memory and opened there. Large ones are read through a Python file object.
Neither takes a lock, so no lock server and no write permission is needed, and it does not matter
how else this process has opened the file: the HDF5 library refuses to open one twice with different
settings.
"""

import contextlib
import io
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from h5py import h5d, h5f, h5fd, h5g, h5p

from acme_io.errors import DamagedFileError
from acme_io.files.checksum import checksum_of_version, has_checksum
from acme_io.files.header import check_open_file, check_ranges
from acme_io.hdf5.objects import memory_name

__all__ = ["CheckedFile", "small_content"]

Array = np.ndarray[Any, Any]

SMALL = 256 << 10
"""Bytes up to which a file is read into memory at once."""


def small_content(path: Path) -> bytes | None:
    """Read a small file whole; None if it is a large one."""
    with open(path, "rb", buffering=0) as file:
        content = file.read(SMALL + 1)
        return content if len(content) <= SMALL else None


class CheckedFile:
    """A file whose header is intact, open to read.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    check : str
        What to check beforehand (`acme_io.files.header.read_header`).

    Raises
    ------
    FileNotFoundError
        It is not there.
    UnknownFileError
        acme-io did not write it.
    DamagedFileError
        It is cut short or has changed since it was written.

    Attributes
    ----------
    header : FileHeader
        What the file is.
    fid : h5py.h5f.FileID
        The open file.
    root : h5py.h5g.GroupID
        Its root group.
    content : bytes or None
        Everything in the file, if it is a small one.
    """

    def __init__(self, path: Path, check: str = "structure") -> None:
        self.path = path
        self.content: bytes | None = None
        self._file: BinaryIO = open(path, "rb", buffering=0)  # noqa: SIM115
        try:
            size = self._file.seek(0, 2)
            self._file.seek(0)
            self.content = content = self._file.read() if size <= SMALL else None
            source = self._file if content is None else io.BytesIO(content)
            # A small file is in memory anyway, so its data is checked along with its structure.
            check = check if content is None else "all"
            self.header = check_open_file(source, path, check)
            # Large datasets that nobody has compared with their checksums yet, by offset.
            ranges = [] if check == "all" else self.header.data
            self._unchecked = {one[0]: one for one in ranges}
            access = h5p.create(h5p.FILE_ACCESS)
            access.set_fclose_degree(h5f.CLOSE_STRONG)
            if content is None:
                access.set_fileobj_driver(h5fd.fileobj_driver, self._file)
            else:
                self._file.close()
                access.set_fapl_core(1 << 14, False)
                access.set_file_image(content)
            self.fid = self._open(access)
            self.root = h5g.open(self.fid, b"/")
        except BaseException:
            self._file.close()
            raise

    def _open(self, access: h5p.PropFAID) -> h5f.FileID:
        try:
            return h5f.open(memory_name(), h5f.ACC_RDONLY, access)
        except OSError as error:
            raise DamagedFileError(f"HDF5 cannot open {self.path}: {error}") from error

    def check_data(self, dataset: h5d.DatasetID, array: Array) -> None:
        """Compare a large dataset with its checksum, once while the file is open.

        Smaller ones have no checksum of their own: they were checked when the file was opened.

        Parameters
        ----------
        dataset : h5py.h5d.DatasetID
            The dataset.
        array : numpy.ndarray
            What was read of it, all or a part.

        Raises
        ------
        DamagedFileError
            It has changed since it was written.
        """
        if not self._unchecked:
            return
        found = self._unchecked.get(dataset.get_offset())
        if found is None:
            return
        # Memory is quicker than a second look at the file, which has the last word: a part of the
        # data, or data that the library has converted, has another checksum.
        if array.nbytes != found[1] or not has_checksum(array, found[2], self.header.version):
            check_ranges(self._file, self.path, self.header, [found])
        del self._unchecked[found[0]]

    def confirms(self, content: bytes) -> bool:
        """Whether an attribute is as it was written.

        Parameters
        ----------
        content : bytes
            All of it. One without a range of its own was checked when the file was opened.
        """
        ranges = [one for one in self.header.data if one[1] == len(content)]
        if not ranges or checksum_of_version(content, self.header.version) in {
            known for _, _, known in ranges
        }:
            return True
        # Ranges do not say what lies in them: a dataset of the same length may have one.
        found = bytearray(len(content))
        for offset, _, _ in ranges:
            self.read_into(memoryview(found), offset)
            if found == content:
                return False
        return True

    def read_into(self, view: memoryview, offset: int) -> None:
        """Read bytes of the file itself, around the library."""
        if self.content is not None:
            view[:] = self.content[offset : offset + len(view)]
            return
        self._file.seek(offset)
        position = 0
        while position < len(view):
            count = self._file.readinto(view[position:])  # type: ignore[attr-defined]
            if not count:
                raise DamagedFileError(f"{self.path} was cut short while it was read.")
            position += count

    def __enter__(self) -> "CheckedFile":
        """Return the file itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def __del__(self) -> None:
        """Close it when nobody refers to it any more; `Results` need no `with`."""
        with contextlib.suppress(Exception):
            self.close()

    def close(self) -> None:
        """Close the file; harmless when called again."""
        if self.fid.valid:
            self.fid.close()
        self._file.close()
