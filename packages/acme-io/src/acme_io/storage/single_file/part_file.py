"""Single files: part files while a run goes on, one container with real datasets at its end.

A part file holds the results of one batch, packed: the bytes of all arrays, one after the other, in
one dataset. It is whole once it has its name, so a killed run can be assembled from its parts.
The client copies each part into the container as it comes in; the container gets its name, and the
parts go, when the run ends.
"""

import contextlib
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from h5py import h5d

from acme_io import layout
from acme_io.errors import DamagedFileError
from acme_io.files.checksum import as_bytes
from acme_io.hdf5.checked_file import CheckedFile
from acme_io.hdf5.objects import Field, read_text
from acme_io.hdf5.run_file import write_pieces
from acme_io.records.run_record import RunStamp
from acme_io.values.encoding import Encoded

__all__ = ["LARGEST_PART", "Packer", "PartFile", "stored_record", "write_part"]

Array = np.ndarray[Any, Any]

DATA = "data"
_PACKED = ',"packed":'
_ALIGN = 8  # bytes; every array begins at a multiple of it
_AHEAD = 1 << 16  # bytes that are read at once: calls are mostly read one after the other


def stored_record(record: str, encoded: Sequence[Encoded]) -> str:
    """Add to a call's record how its arrays are packed: dtype, shape (or null), and UTF-8 flag."""
    if len(encoded) == 1 and encoded[0].array is not None:  # most calls are alike: remember
        array = encoded[0].array
        packing = _one_packing(array.dtype, array.dtype.str, array.shape, encoded[0].text)
    else:
        packing = ",".join(_packing(one) for one in encoded)
    return f"{record[:-1]}{_PACKED}[{packing}]}}"


@lru_cache(maxsize=64)
def _one_packing(dtype: np.dtype[Any], order: str, shape: tuple[int, ...], text: bool) -> str:
    """Spell out how an array is packed; `order` tells apart dtypes that NumPy holds equal."""
    del order
    return _spelled(dtype, shape, text)


def _packing(one: Encoded) -> str:
    array = one.array
    return (
        _spelled(None, None, False)
        if array is None
        else _spelled(array.dtype, array.shape, one.text)
    )


def _spelled(dtype: np.dtype[Any] | None, shape: tuple[int, ...] | None, text: bool) -> str:
    descr = None if dtype is None else np.lib.format.dtype_to_descr(dtype)
    return json.dumps([descr, shape, text], separators=(",", ":"))


class Packer:
    """Arrays of several calls on their way into one part file: their bytes, one after the other.

    They are copied into a buffer that the process keeps: memory that was in use before costs
    nothing, where fresh memory costs as much as the copy.
    """

    def __init__(self) -> None:
        self._buffer = _take_buffer()
        self._used = 0
        self._direct: list[Array] = []  # arrays that are written from where they are
        self.nbytes = 0

    def add(self, array: Array) -> None:
        """Take an array. One that finds no room must not change until `pieces` are written."""
        length = array.nbytes + -array.nbytes % _ALIGN
        self.nbytes += length
        if self.nbytes > LARGEST_PART:
            self._direct.append(array)
            if length > array.nbytes:
                self._direct.append(np.zeros(length - array.nbytes, "u1"))
        else:
            end = self._used + array.nbytes
            self._buffer[self._used : end] = as_bytes(array)
            self._used += length
            self._buffer[end : self._used] = 0

    def pieces(self) -> list[Array]:
        """Return what there is, to be written before anything is added."""
        return [self._buffer[: self._used], *self._direct]

    def clear(self) -> None:
        """Begin anew."""
        self._used = self.nbytes = 0
        self._direct = []

    def close(self) -> None:
        """Give the buffer back; harmless when called again."""
        self.clear()
        if self._buffer is not _NO_BUFFER:
            _BUFFERS.append(self._buffer)
            self._buffer = _NO_BUFFER


LARGEST_PART = 8 << 20
"""Bytes of results that wait in a worker's memory before they are written as a file."""

_NO_BUFFER = np.empty(0, "u1")
_BUFFERS: list[Array] = []  # one for each thread that writes parts at the same time


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
) -> None:
    """Write a part file.

    Parameters
    ----------
    path : pathlib.Path
        Final name; the file is flushed to the disk before it has it.
    stamp : RunStamp
        The run.
    calls : range
        The calls of the part.
    pieces : sequence of numpy.ndarray
        The packed values of the calls (`Packer`).
    records : sequence of str
        One record per call (`stored_record`).
    """
    write_pieces(path, "part", stamp, calls, "\n".join(records), DATA, pieces)


class Packing(NamedTuple):
    """Which arrays a call has, and where they lie from where its data begin.

    Attributes
    ----------
    fields : tuple of Field
        The datasets.
    offsets : tuple of int
        Where each begins.
    length : int
        Bytes of all of them; the next call begins there.
    """

    fields: tuple[Field, ...]
    offsets: tuple[int, ...]
    length: int


class PartFile:
    """A part file, open to read its calls.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Raises
    ------
    OSError
        It cannot be opened, or is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        checked = CheckedFile(path)
        self.header, self.calls = checked.header, checked.header.calls
        try:
            lines = read_text(checked.root, "calls").rstrip(" ").split("\n")
            dataset = h5d.open(checked.fid, DATA.encode())
            self._offset, self._size = dataset.get_offset(), int(dataset.shape[0])
        except (KeyError, RuntimeError, ValueError) as error:
            raise DamagedFileError(f"{path} is no whole part file: {error}") from error
        finally:
            checked.close()
        if len(lines) != len(self.calls):
            raise DamagedFileError(f"{path} has {len(lines)} records for {len(self.calls)} calls.")
        try:
            if self._find(lines) > self._size:
                raise ValueError("its records tell of more data than there are")
        except (ValueError, TypeError) as error:
            raise DamagedFileError(f"{path} is damaged: {error}") from error
        self._ahead, self._ahead_from = np.empty(0, "u1"), 0
        self._file: BinaryIO = open(path, "rb", buffering=0)  # noqa: SIM115

    def _find(self, lines: list[str]) -> int:
        """Find record and arrays of every call; returns where the last one ends.

        The packing stands at the end of a record; quotes within texts are escaped in JSON, so its
        beginning is found without parsing the record.
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
        """Whether a call has a result in this part."""
        return call in self.calls and self._packings[call - self.calls.start] is not None

    def record(self, call: int) -> str:
        """Return the record of a call."""
        return self._records[call - self.calls.start]

    def packing(self, call: int) -> Packing:
        """Return which arrays a call has; it is one with a result."""
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
        """Read the data of a call; small data together with what follows it."""
        if length > _AHEAD:
            content = np.empty(length, "u1")
            self._read_into(content.data, start)
            return content
        offset = start - self._ahead_from
        if offset < 0 or offset + length > len(self._ahead):
            self._ahead = np.empty(min(_AHEAD, self._size - start), "u1")
            self._read_into(self._ahead.data, start)
            self._ahead_from, offset = start, 0
        # A copy: users change the arrays that they read, and may read them again.
        return self._ahead[offset : offset + length].copy()

    def _read_into(self, view: memoryview, start: int) -> None:
        """Read data, from a position among them on."""
        self._file.seek(self._offset + start)
        position = 0
        while position < len(view):
            count = self._file.readinto(view[position:])  # type: ignore[attr-defined]
            if not count:
                raise DamagedFileError(f"{self.path} was cut short while it was read.")
            position += count

    def __del__(self) -> None:
        """Close it when nobody refers to it any more; `Results` need no `with`."""
        with contextlib.suppress(Exception):
            self._file.close()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def _array(content: Array, field: Field, at: int) -> Array:
    raw = content[at : at + field.nbytes]
    return (
        raw.view(field.dtype).reshape(field.shape)
        if len(raw)
        else np.zeros(field.shape, field.dtype)
    )


@lru_cache(maxsize=64)
def _packing_of(text: str) -> Packing:
    """Read how the arrays of a call are packed; most calls of a run are alike."""
    fields, offsets, position = [], [], 0
    for index, (descr, shape, is_text) in enumerate(json.loads(text)):
        fields.append(_field(layout.result_name(index), descr, shape, is_text))
        offsets.append(position)
        position += -(-fields[-1].nbytes // _ALIGN) * _ALIGN
    return Packing(tuple(fields), tuple(offsets), position)


def _field(path: str, descr: Any, shape: list[int] | None, text: bool) -> Field:
    if shape is None:
        return Field(path, np.dtype("u1"), None)
    return Field(path, np.lib.format.descr_to_dtype(_tuples(descr)), tuple(shape), text)


def _tuples(descr: Any) -> Any:
    """Undo what JSON does to a dtype description: fields are tuples in a list."""
    if isinstance(descr, str):
        return descr
    return [
        tuple(
            _tuples(part) if index == 1 else tuple(part) if isinstance(part, list) else part
            for index, part in enumerate(entry)
        )
        for entry in descr
    ]
