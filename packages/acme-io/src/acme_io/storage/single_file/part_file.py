"""Part files, which hold the results of a single-file run until it ends.

A part file holds the results of one batch, packed: the bytes of all arrays, one after the other, in
one dataset. HDF5 makes one dataset for it instead of one per value, which would be thrown away
after the copy. A part file with its final name is complete, so the container of a killed run can be
assembled from its parts. The client copies each part into the container as it arrives; when the run
ends, the container gets its final name and the parts are removed.
"""

import contextlib
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from acme_io import layout
from acme_io.errors import DamagedFileError
from acme_io.files.checksum import as_bytes, data_checksum
from acme_io.files.header import FLAT_VERSION, FORMAT_VERSION
from acme_io.hdf5.checked_file import CheckedFile
from acme_io.hdf5.members import fields_of, names_of
from acme_io.hdf5.objects import Field, GroupField, data_offset, open_dataset, read_text
from acme_io.hdf5.run_file import write_pieces
from acme_io.records.run_record import RunStamp
from acme_io.values.encoded import Node

__all__ = ["LARGEST_PART", "Packer", "PartFile", "stored_record", "write_part"]

Array = np.ndarray[Any, Any]

DATA = "data"
_PACKED = ',"packed":'
# Bytes: each array starts at a multiple of 8, which aligns it in memory for every numeric dtype up
# to float64 and complex128.
_ALIGN = 8
# Bytes read at once. Calls are mostly read in order, and on a network file system each read is a
# round trip.
_AHEAD = 1 << 16


def stored_record(record: str, fields: Sequence[Field]) -> str:
    """Append to a record how its arrays are packed.

    For each dataset this is dtype, shape (or null) and UTF-8 flag; in a group also the path, and
    for a group its path and attributes.
    """
    packing = ",".join([_packing(index, field) for index, field in enumerate(fields)])
    # Insert it before the closing brace, without parsing the JSON of every record.
    return f"{record[:-1]}{_PACKED}[{packing}]}}"


def _packing(index: int, field: Field) -> str:
    path, dtype, shape, text, group = field
    # The path of a dataset outside of groups is known.
    in_group = group is not None or path != layout.result_name(index)
    return _packing_json(dtype, shape, text, (path, *(group or ())) if in_group else ())


# Most calls of a run return arrays of few dtypes and shapes.
@lru_cache(maxsize=256)
def _packing_json(
    dtype: np.dtype[Any], shape: tuple[int, ...] | None, text: bool, more: tuple[Any, ...]
) -> str:
    descr = None if shape is None else np.lib.format.dtype_to_descr(dtype)
    return json.dumps([descr, shape, text, *more], separators=(",", ":"))


class Packer:
    """Packs the arrays of several calls for one part file: their bytes, one after the other.

    The bytes are copied into a buffer that the process keeps. The kernel clears fresh pages on
    first use, which costs as much as the copy itself.
    """

    def __init__(self) -> None:
        self._buffer = _take_buffer()
        self._used = 0
        # Arrays beyond the size of the buffer, written without a copy.
        self._direct: list[Array] = []
        self.nbytes = 0

    def add(self, array: Array) -> None:
        """Add an array. If the buffer is full, it must not change until `pieces` are written."""
        length = array.nbytes + -array.nbytes % _ALIGN
        self.nbytes += length
        if self.nbytes > LARGEST_PART:
            self._direct.append(array)
            if length > array.nbytes:  # padding up to the alignment
                self._direct.append(np.zeros(length - array.nbytes, "u1"))
        else:
            end = self._used + array.nbytes
            self._buffer[self._used : end] = as_bytes(array)
            self._used += length
            # The buffer holds bytes of earlier parts: equal results must make equal files.
            self._buffer[end : self._used] = 0

    def pieces(self) -> list[Array]:
        """Return the packed bytes; write them before the next `add`, which overwrites them."""
        return [self._buffer[: self._used], *self._direct]

    def clear(self) -> None:
        """Discard the packed bytes."""
        self._used = self.nbytes = 0
        self._direct = []

    def close(self) -> None:
        """Return the buffer to the process; may be called again."""
        self.clear()
        if self._buffer is not _NO_BUFFER:
            _BUFFERS.append(self._buffer)
            self._buffer = _NO_BUFFER


def pack(packer: Packer, encoded: Sequence[Node]) -> tuple[list[Field], int, bool]:
    """Pack the values of a call; return its fields, its checksum, and whether it has groups."""
    fields, arrays = fields_of(encoded)
    names = names_of(fields)
    for array in arrays:
        if array is not None:
            packer.add(array)
    return fields, data_checksum(arrays, names), bool(names)


# Smaller than `LARGEST_BATCH`, because every writing thread of a worker keeps a buffer of this
# size, and because the client can begin to copy a part only once it is written.
LARGEST_PART = 8 << 20
"""Bytes of results that wait in a worker's memory before they are written as a file."""

_NO_BUFFER = np.empty(0, "u1")
# Free buffers: one for each thread that has written parts at the same time as others. `append` and
# `pop` of a list are atomic in CPython, so no lock is needed.
_BUFFERS: list[Array] = []


def _take_buffer() -> Array:
    try:
        return _BUFFERS.pop()
    except IndexError:
        return np.empty(LARGEST_PART, "u1")


def write_part(
    path: Path,
    stamp: RunStamp,
    calls: range,
    pieces: Sequence[Array],
    records: Sequence[str],
    *,
    nested: bool = False,
) -> None:
    """Write a part file.

    Parameters
    ----------
    path : pathlib.Path
        Final name; the file is flushed to disk before it gets this name.
    stamp : RunStamp
        The run.
    calls : range
        The calls of the part.
    pieces : sequence of numpy.ndarray
        The packed values of the calls (`Packer`).
    records : sequence of str
        One record per call (`stored_record`).
    nested : bool
        Whether a value in it is a group.
    """
    version = FORMAT_VERSION if nested else FLAT_VERSION
    write_pieces(path, "part", stamp, calls, "\n".join(records), DATA, pieces, version)


class Packing(NamedTuple):
    """The arrays of a call and their positions relative to the start of its data.

    Attributes
    ----------
    fields : tuple of Field
        The datasets.
    offsets : tuple of int
        Position of each dataset in bytes.
    length : int
        Size of all of them in bytes, with padding; the data of the next call starts there.
    """

    fields: tuple[Field, ...]
    offsets: tuple[int, ...]
    length: int


class PartFile:
    """A part file, open for reading.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Raises
    ------
    OSError
        The file cannot be opened, or is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # HDF5 is needed only to find the one dataset; its bytes are then read directly.
        checked = CheckedFile(path)
        self.header, self.calls = checked.header, checked.header.calls
        try:
            lines = read_text(checked.root, "calls").rstrip(" ").split("\n")
            dataset = open_dataset(checked.fid, DATA)
            self._offset, self._size = data_offset(dataset) or 0, int(dataset.shape[0])
        except (KeyError, RuntimeError, ValueError) as error:
            raise DamagedFileError(f"{path} is not a complete part file: {error}") from error
        finally:
            checked.close()
        if len(lines) != len(self.calls):
            raise DamagedFileError(f"{path} has {len(lines)} records for {len(self.calls)} calls.")
        try:
            if self._index_calls(lines) > self._size:
                raise ValueError("its records describe more data than the file holds")
        except (ValueError, TypeError) as error:
            raise DamagedFileError(f"{path} is damaged: {error}") from error
        self._ahead, self._ahead_from = np.empty(0, "u1"), 0
        self._file: BinaryIO = open(path, "rb", buffering=0)  # noqa: SIM115

    def _index_calls(self, lines: list[str]) -> int:
        """Find record and arrays of every call; return the end of the last one.

        The packing is at the end of a record. JSON escapes quotes within texts, so the last
        `,"packed":` starts it, and the record itself need not be parsed.
        """
        self._packings: list[Packing | None] = []
        self._starts: list[int] = []
        position = 0
        for at, line in enumerate(lines):
            record, found, text = line.rpartition(_PACKED)
            packing = _packing_of(text[:-1]) if found else None
            self._packings.append(packing)
            self._starts.append(position)
            if packing is not None:
                lines[at] = f"{record}}}"
                position += packing.length
        self._records = lines
        return position

    def __contains__(self, call: int) -> bool:
        """Whether this part has the result of a call."""
        return call in self.calls and self._packings[call - self.calls.start] is not None

    def record(self, call: int) -> str:
        """Return the record of a call."""
        return self._records[call - self.calls.start]

    def packing(self, call: int) -> Packing:
        """Return the arrays of a call; raise `KeyError` if it has no result here."""
        packing = self._packings[call - self.calls.start]
        if packing is None:
            raise KeyError(call)
        return packing

    def datasets(self, call: int) -> list[tuple[Field, Array | None]]:
        """Read the datasets of a call."""
        packing, start = self.packing(call), self._starts[call - self.calls.start]
        content = self._content(start, packing.length)
        return [
            (field, None if field.shape is None else _array(content, field, at))
            for field, at in zip(packing.fields, packing.offsets, strict=True)
        ]

    def _content(self, start: int, length: int) -> Array:
        """Read the data of a call, and with small data also what follows it."""
        if length > _AHEAD:
            content = np.empty(length, "u1")
            self._read_into(content.data, start)
            return content
        offset = start - self._ahead_from
        if offset < 0 or offset + length > len(self._ahead):
            self._ahead = np.empty(min(_AHEAD, self._size - start), "u1")
            self._read_into(self._ahead.data, start)
            self._ahead_from, offset = start, 0
        # A copy: users may modify an array and then read it again.
        return self._ahead[offset : offset + length].copy()

    def _read_into(self, view: memoryview, start: int) -> None:
        """Fill a buffer with data from position `start` on."""
        # An unbuffered read may return fewer bytes than asked for.
        self._file.seek(self._offset + start)
        position = 0
        while position < len(view):
            count = self._file.readinto(view[position:])  # type: ignore[attr-defined]
            if not count:
                raise DamagedFileError(f"{self.path} was truncated while it was read.")
            position += count

    def __del__(self) -> None:
        """Close the file with its last reference: users need no `with` for results."""
        with contextlib.suppress(Exception):
            self._file.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _array(content: Array, field: Field, at: int) -> Array:
    # NumPy cannot view bytes as a dtype of size zero, which empty texts have.
    raw = content[at : at + field.nbytes]
    return (
        raw.view(field.dtype).reshape(field.shape)
        if len(raw)
        else np.zeros(field.shape, field.dtype)
    )


@lru_cache(maxsize=64)
def _packing_of(text: str) -> Packing:
    """Parse the packing of a call's arrays; cached, as most calls of a run are alike."""
    fields, offsets, position = [], [], 0
    for index, (descr, shape, is_text, *more) in enumerate(json.loads(text)):
        path = more[0] if more else layout.result_name(index)
        group = GroupField(more[1], more[2], tuple(more[3])) if len(more) > 1 else None
        fields.append(_field(path, descr, shape, is_text)._replace(group=group))
        offsets.append(position)
        position += -(-fields[-1].nbytes // _ALIGN) * _ALIGN
    return Packing(tuple(fields), tuple(offsets), position)


def _field(path: str, descr: Any, shape: list[int] | None, text: bool) -> Field:
    if shape is None:
        return Field(path, np.dtype("u1"), None)
    return Field(path, np.lib.format.descr_to_dtype(_tuples(descr)), tuple(shape), text)


def _tuples(descr: Any) -> Any:
    """Restore the tuples of a dtype description, which JSON turned into lists."""
    if isinstance(descr, str):
        return descr
    return [
        tuple(
            _tuples(part) if index == 1 else tuple(part) if isinstance(part, list) else part
            for index, part in enumerate(entry)
        )
        for entry in descr
    ]
