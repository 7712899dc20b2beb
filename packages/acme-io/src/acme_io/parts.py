"""Single files: part files while a run goes on, one container with real datasets at its end.

A part file holds the results of one batch, packed: the bytes of all arrays, one after the other, in
one dataset. It is whole once it has its name, so a killed run can be assembled from its parts.
The client copies each part into the container as it comes in; the container gets its name, and the
parts go, when the run ends.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from h5py import h5d

from . import layout
from .encoding import Encoded
from .errors import DamagedFileError
from .hdf5 import Field, read_text
from .opening import SealedFile
from .payload import RunStamp, write_file

__all__ = ["PartFile", "stored_record", "write_part"]

Array = np.ndarray[Any, Any]

DATA = "data"
_PACKED = ',"packed":'
_ALIGN = 8  # bytes; every array begins at a multiple of it


def stored_record(record: str, encoded: Sequence[Encoded]) -> str:
    """Add to a call's record how its arrays are packed: dtype, shape (or null), and UTF-8 flag."""
    packed = [
        [None, None, False]
        if one.array is None
        else [np.lib.format.dtype_to_descr(one.array.dtype), list(one.array.shape), one.text]
        for one in encoded
    ]
    return f"{record[:-1]}{_PACKED}{json.dumps(packed, separators=(',', ':'))}}}"


def write_part(
    path: Path,
    stamp: RunStamp,
    calls: range,
    values: Mapping[int, Sequence[Encoded]],
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
    values : mapping of int to sequence of Encoded
        The encoded values of the calls that have any.
    records : sequence of str
        One record per call (`stored_record`).
    """
    pieces: list[bytes | memoryview] = []
    for _, encoded in sorted(values.items()):
        for one in encoded:
            if one.array is not None and one.array.nbytes:
                data = np.ascontiguousarray(one.array).reshape(-1).view(np.uint8).data
                pieces += [data, b"\0" * (-len(data) % _ALIGN)]
    packed = np.frombuffer(
        pieces[0] if len(pieces) == 2 and not pieces[1] else b"".join(pieces), "u1"
    )
    field = Field(DATA, packed.dtype, packed.shape)
    write_file(path, "part", stamp, calls, "\n".join(records), [field], [packed], flush=True)


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
        sealed = SealedFile(path)
        self.seal, self.calls = sealed.seal, sealed.seal.calls
        try:
            lines = read_text(sealed.root, "calls").rstrip(" ").split("\n")
            dataset = h5d.open(sealed.fid, DATA.encode())
            self._offset, size = dataset.get_offset(), dataset.shape[0]
        except (KeyError, RuntimeError, ValueError) as error:
            raise DamagedFileError(f"{path} is no whole part file: {error}") from error
        finally:
            sealed.close()
        if len(lines) != len(self.calls):
            raise DamagedFileError(f"{path} has {len(lines)} records for {len(self.calls)} calls.")
        self.records: dict[int, str] = {}
        self._places: dict[int, list[tuple[int, Field]]] = {}
        try:
            self._find(lines)
        except (ValueError, TypeError) as error:
            raise DamagedFileError(f"{path} is damaged: {error}") from error
        self._bytes = (
            np.memmap(path, "u1", "r", offset=self._offset, shape=(size,))
            if size
            else np.zeros(0, "u1")
        )

    def _find(self, lines: Sequence[str]) -> None:
        """Find record and arrays of every call.

        The packing stands at the end of a record; quotes within texts are escaped in JSON, so its
        beginning is found without parsing the record.
        """
        position = 0
        for call, line in zip(self.calls, lines, strict=True):
            record, found, packing = line.rpartition(_PACKED)
            self.records[call] = f"{record}}}" if found else line
            if not found:
                continue
            places = []
            for field in _fields(packing[:-1]):
                places.append((position, field))
                position += -(-field.nbytes // _ALIGN) * _ALIGN
            self._places[call] = places

    def __contains__(self, call: int) -> bool:
        """Whether a call has a result in this part."""
        return call in self._places

    def fields(self, call: int) -> list[Field]:
        """Datasets of a call."""
        return [field for _, field in self._places[call]]

    def arrays(self, call: int) -> list[Array | None]:
        """Arrays of a call: views of the file, not copies."""
        return [
            None
            if field.shape is None
            else np.ndarray(field.shape, field.dtype, self._bytes, position if field.nbytes else 0)
            if field.nbytes
            else np.zeros(field.shape, field.dtype)
            for position, field in self._places[call]
        ]

    def close(self) -> None:
        """Let go of the file."""
        self._bytes = np.zeros(0, "u1")


@lru_cache(maxsize=64)
def _fields(packing: str) -> tuple[Field, ...]:
    """Read how the arrays of a call are packed; most calls of a run are alike."""
    return tuple(
        _field(layout.result_name(index), descr, shape, text)
        for index, (descr, shape, text) in enumerate(json.loads(packing))
    )


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
