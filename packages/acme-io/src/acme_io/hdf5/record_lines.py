"""The records of all calls, collected for one attribute of a container.

Each record is a line of some hundred bytes. Those of a million calls would fill the memory of the
client, so they are kept in an unnamed temporary file in order of arrival; memory holds only the
offset and length of each, 12 bytes per call.
"""

import itertools
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from h5py import h5a, h5s, h5t

from acme_io.files.checksum import LARGE, checksum
from acme_io.hdf5.attributes import find_attribute
from acme_io.hdf5.new_file import NewFile, write_exactly
from acme_io.hdf5.objects import write_column, write_text

__all__ = ["RecordLines", "write_records"]

Array = np.ndarray[Any, Any]

# Bytes of records kept in memory, some thousand calls; beyond, `SpooledTemporaryFile` makes a file.
_IN_MEMORY = 1 << 20
_NAME = "calls"
# Bytes copied at a time, which bounds the memory of `pieces`.
_AT_ONCE = 1 << 20


class RecordLines:
    """Records of calls, added in any order and returned in the order of calls.

    Parameters
    ----------
    n_calls : int
        Number of calls of the run.
    folder : pathlib.Path, optional
        Folder for the temporary file, which disappears on `close`; by default the system's.
    """

    def __init__(self, n_calls: int, folder: Path | None = None) -> None:
        self._starts = np.zeros(n_calls, "<u8")
        self._lengths = np.zeros(n_calls, "<u4")
        self._end = 0
        place = None if folder is None else str(folder)
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=place)  # noqa: SIM115

    def add(self, calls: Sequence[int], lines: Sequence[str]) -> None:
        """Add the records of some calls, in ASCII, replacing earlier ones of these calls."""
        text = "\n".join(lines)
        # Records are ASCII (`acme_io.records.serialization`), so characters are bytes. A replaced
        # record stays in the file unused: calls are repeated rarely.
        lengths = np.fromiter(map(len, lines), "<u4", len(lines))
        starts = np.cumsum(lengths + np.uint32(1), dtype="<u8") - lengths - np.uint64(1)
        where = np.asarray(calls)
        self._starts[where] = starts + np.uint64(self._end)
        self._lengths[where] = lengths
        raw = text.encode("ascii") + b"\n"
        self._file.seek(self._end)
        self._file.write(raw)
        self._end += len(raw)

    def clear(self) -> None:
        """Remove all records."""
        self._lengths[:] = 0
        self._end = 0
        self._file.seek(0)
        self._file.truncate()

    def close(self) -> None:
        """Close the temporary file."""
        self._file.close()

    @property
    def ends(self) -> Array:
        """Offset after the line of each call, including its line break."""
        return np.cumsum(self._lengths + np.uint32(1), dtype="<u8")

    def __len__(self) -> int:
        """Return the length of the text in bytes: all lines with line breaks between them."""
        return max(int(self._lengths.sum(dtype="u8")) + len(self._lengths) - 1, 0)

    def pieces(self) -> Iterator[bytes]:
        """Yield the text piece by piece; a call without a record has an empty line."""
        # In the file each line ends in a line break, in the text all but the last: `left` cuts it.
        left = len(self)
        for start, length in self._stretches():
            if length < 0:
                blank = min(-length, left)
                left -= blank
                yield b"\n" * blank
                continue
            self._file.seek(start)
            while length:
                piece = self._file.read(min(length, _AT_ONCE))
                length -= len(piece)
                yield piece[:left]
                left -= min(len(piece), left)

    def _stretches(self) -> Iterator[tuple[int, int]]:
        """Yield offset and length of each stretch of adjacent lines; `(0, -n)` for n empty lines.

        Batches arrive whole, so that a run without repeated calls has about one stretch per batch.
        """
        with_breaks = self._lengths.astype("<i8") + 1
        starts = self._starts.astype("<i8")
        empty = self._lengths == 0
        follows = (starts[1:] == starts[:-1] + with_breaks[:-1]) & ~empty[1:] & ~empty[:-1]
        follows |= empty[1:] & empty[:-1]
        borders = [0, *(np.flatnonzero(~follows) + 1).tolist(), len(starts)]
        for first, end in itertools.pairwise(borders):
            if first == end:
                continue
            if empty[first]:
                yield 0, first - end
            else:
                yield int(starts[first]), int(with_breaks[first:end].sum())

    def text(self) -> bytes:
        """Return the whole text."""
        return b"".join(self.pieces())

    def declare(self, root: Any) -> None:
        """Create the attributes `calls_end` and `calls` of a root group; `fill` writes a long text.

        Written by the library, the text would be in memory twice.
        """
        if len(self) <= _IN_MEMORY:
            self.write(root)
            return
        write_column(root, "calls_end", self.ends)
        # Created but not written: HDF5 reserves space in the file for the whole value.
        kind = h5t.C_S1.copy()
        kind.set_size(len(self))
        kind.set_cset(h5t.CSET_UTF8)
        kind.set_strpad(h5t.STR_NULLPAD)
        h5a.create(root, _NAME.encode(), kind, h5s.create(h5s.SCALAR))

    def write(self, root: Any) -> bytes:
        """Write both attributes of a root group through the library, and return the text."""
        text = self.text()
        write_column(root, "calls_end", self.ends)
        write_text(root, _NAME, text)
        return text

    def fill(self, new: NewFile, start: int) -> list[tuple[int, int, int]]:
        """Write the text into the attribute that `declare` created.

        Parameters
        ----------
        new : NewFile
            The file, closed by HDF5.
        start : int
            Offset from which to search for the attribute.

        Returns
        -------
        list of (int, int, int)
            Offset, length and checksum of a long text, which is then not checked when the file is
            opened but when records are read; empty for a short text.
        """
        size, file = len(self), new.file
        if size < LARGE:
            return []
        at = find_attribute(file, start, _NAME, size)
        if at is None:
            # A later version of HDF5 may lay attributes out differently: let it do the writing.
            self._fill_through_library(new)
            return []
        # `declare` let the library write a text of this size: compare, and only report the range.
        if size <= _IN_MEMORY:
            text = self.text()
            file.seek(at)
            return [(at, size, checksum(text))] if file.read(size) == text else []
        crc = 0
        file.seek(at)
        for piece in self.pieces():
            write_exactly(file, memoryview(piece))
            crc = checksum(piece, crc)
        return [(at, size, crc)]

    def _fill_through_library(self, new: NewFile) -> None:
        new.reopen_hdf5()
        attribute = h5a.open(new.root, _NAME.encode())
        attribute.write(np.array(self.text(), f"S{len(self)}"), attribute.get_type())
        new.close_hdf5()


def write_records(root: Any, n_calls: int, records: Mapping[int, str]) -> bytes:
    """Write the records of all calls into the attribute `calls`, their ends into `calls_end`."""
    lines = RecordLines(n_calls)
    if records:
        lines.add(list(records), list(records.values()))
    try:
        return lines.write(root)
    finally:
        lines.close()
