"""Open a file of acme-io for reading: check its header, then hand the same bytes to HDF5.

Small files are read into memory and opened there. Large ones are read through a Python file object.
Neither way takes a file lock, so files on network file systems without a lock service can be read.
Neither depends on how else this process has opened the file: the HDF5 library refuses to open one
path twice with different settings.
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

# For small files one read is cheaper than the many small reads of HDF5. Larger ones (from some
# 30 000 floats on) stay on the disk: callers may want a part only.
SMALL = 256 << 10
"""Bytes up to which a file is read into memory as a whole."""


def small_content(path: Path, limit: int = SMALL) -> bytes | None:
    """Return the content of a file of up to `limit` bytes, None if the file is larger."""
    with open(path, "rb", buffering=0) as file:
        # One byte more shows that the file is larger, without a system call for its size.
        content = file.read(SMALL + 1)
        # Memory for the whole limit would take longer to allocate than a small file to read.
        if len(content) > SMALL < limit:
            content += file.read(limit - SMALL)
        return content if len(content) <= limit else None


class CheckedFile:
    """A file whose header is intact, open for reading.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    check : str
        What to check at once, as for `acme_io.files.header.read_header`.
    small : int
        Bytes up to which the file is read into memory.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    UnknownFileError
        If acme-io did not write it.
    DamagedFileError
        If it is truncated or has changed since it was written.

    Attributes
    ----------
    header : FileHeader
        Its header.
    fid : h5py.h5f.FileID
        The open file.
    root : h5py.h5g.GroupID
        Its root group.
    content : bytes or None
        The whole file, if it is small.
    """

    def __init__(self, path: Path, check: str = "structure", small: int = SMALL) -> None:
        self.path = path
        self.content: bytes | None = None
        self._file: BinaryIO = open(path, "rb", buffering=0)  # noqa: SIM115
        try:
            size = self._file.seek(0, 2)
            self._file.seek(0)
            self.content = content = self._file.read() if size <= small else None
            source = self._file if content is None else io.BytesIO(content)
            # A small file is in memory anyway, so its data is checked with its structure.
            check = check if content is None else "all"
            self.header = check_open_file(source, path, check)
            # Large datasets not yet compared with their checksums, by offset.
            ranges = [] if check == "all" else self.header.data
            self._unchecked = {one[0]: one for one in ranges}
            access = h5p.create(h5p.FILE_ACCESS)
            access.set_fclose_degree(h5f.CLOSE_STRONG)
            if content is None:
                access.set_fileobj_driver(h5fd.fileobj_driver, self._file)
            else:
                # HDF5 copies the image. The increment (16 kB) only matters to files that grow.
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
        """Compare a large dataset with its checksum, once per opened file.

        Smaller ones have no checksum of their own and were checked when the file was opened.

        Parameters
        ----------
        dataset : h5py.h5d.DatasetID
            The dataset.
        array : numpy.ndarray
            The data read from it, all or a part.

        Raises
        ------
        DamagedFileError
            If it has changed since it was written.
        """
        if not self._unchecked:
            return
        # The header lists ranges by their offset in the file, which counts the user block, as does
        # `get_offset`.
        found = self._unchecked.get(dataset.get_offset())
        if found is None:
            return
        # The array in memory is checked first, which is quicker. If it differs, the file decides: a
        # part of the data, or data that the library has converted, has another checksum.
        if array.nbytes != found[1] or not has_checksum(array, found[2], self.header.version):
            check_ranges(self._file, self.path, self.header, [found])
        del self._unchecked[found[0]]

    def confirms(self, content: bytes) -> bool:
        """Whether an attribute has not changed since it was written.

        Parameters
        ----------
        content : bytes
            The whole attribute. One without a range of its own was checked when the file was
            opened.
        """
        # HDF5 does not tell where an attribute lies, so its range is found by length and checksum.
        ranges = [one for one in self.header.data if one[1] == len(content)]
        if not ranges or checksum_of_version(content, self.header.version) in {
            known for _, _, known in ranges
        }:
            return True
        # Not proven yet: a dataset of the same length may have a range too. The attribute is
        # damaged only if one of these ranges holds exactly what was read.
        found = bytearray(len(content))
        for offset, _, _ in ranges:
            self.read_into(memoryview(found), offset)
            if found == content:
                return False
        return True

    def read_into(self, view: memoryview, offset: int) -> None:
        """Fill `view` with bytes of the file from `offset` on, without the library."""
        if self.content is not None:
            view[:] = self.content[offset : offset + len(view)]
            return
        self._file.seek(offset)
        position = 0
        while position < len(view):
            count = self._file.readinto(view[position:])  # type: ignore[attr-defined]
            if not count:
                raise DamagedFileError(f"{self.path} was truncated while it was read.")
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
        """Close the file."""
        self.close()

    def __del__(self) -> None:
        """Close the file with its last reference, so that `Results` work without `with`."""
        # Errors are suppressed: `__init__` may have failed half way, and at exit modules are gone.
        with contextlib.suppress(Exception):
            self.close()

    def close(self) -> None:
        """Close the file; calling it again does nothing."""
        # HDF5 first: it still needs the Python file while it closes its objects.
        if self.fid.valid:
            self.fid.close()
        self._file.close()
