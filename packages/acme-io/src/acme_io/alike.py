"""Calls that all return alike, in one file: one dataset per return value, one row per call.

This is what `merge` makes of results of one shape and dtype: reading all of them is reading one
dataset, where a group per call would have to be opened call by call.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from h5py import h5d, h5s, h5t

from . import files, layout
from .assembly import write_record
from .checksum import LARGE, as_bytes, range_checksum
from .container import Description
from .errors import DamagedFileError
from .hdf5 import Field, add_dataset, read_text, write_text
from .lines import RecordLines
from .record import FORMAT_VERSION, dumps
from .seal import Seal, block_size
from .single_source import SingleSource
from .slots import fill_value
from .sources import Container, StoredCall
from .writing import NewFile, write_exactly

__all__ = ["AlikeSource", "AlikeWriter"]

Array = np.ndarray[Any, Any]

_BUFFER = 1 << 20  # bytes of rows that are written at once

SCALARS = ("bool", "int", "float", "complex", "scalar")


class AlikeWriter:
    """Writes one row per call.

    Parameters
    ----------
    path : pathlib.Path
        Final name of the file.
    run_id : str
        The run's id.
    n_calls : int
        Number of calls of the run.
    first : StoredCall
        The first result; all others must be like it.
    """

    def __init__(self, path: Path, run_id: str, n_calls: int, first: StoredCall) -> None:
        self._path, self._run_id, self._n_calls = path, run_id, n_calls
        self._like = _signature(first)
        self._fields = first.fields
        n_large = len(first.fields)
        self._new = NewFile(path, block_size(n_large + 8, run_id), dense=True)
        try:
            self._offsets = [self._add(field) for field in first.fields]
        except BaseException:
            self._new.abort()
            raise
        self._buffers = [bytearray() for _ in first.fields]
        self._next = self._start = 0

    @staticmethod
    def possible(found: StoredCall) -> bool:
        """Whether results like this one can be rows of datasets."""
        return bool(found.fields) and all(field.nbytes for field in found.fields)

    def _add(self, field: Field) -> int:
        dataset = add_dataset(self._new.root, field._replace(shape=self._shape(field)))
        return int(dataset.get_offset())

    def _shape(self, field: Field) -> tuple[int, ...]:
        row = field.shape or ()
        return (self._n_calls, *(() if row == (1,) else row))

    def add(self, call: int, found: StoredCall) -> bool:
        """Write the next row; False if it is not like the first one."""
        if _signature(found) != self._like:
            return False
        self._blank_up_to(call)
        for buffer, array in zip(self._buffers, found.arrays, strict=True):
            buffer += as_bytes(array if array is not None else np.zeros(0))
        self._next = call + 1
        if sum(map(len, self._buffers)) >= _BUFFER:
            self._flush()
        return True

    def _blank_up_to(self, call: int) -> None:
        """Fill the rows of calls without a result."""
        for field, buffer in zip(self._fields, self._buffers, strict=True):
            blank = np.full(field.shape or (), fill_value(field.dtype), field.dtype)
            for _ in range(self._next, call):
                buffer += as_bytes(blank)
        self._next = call

    def _flush(self) -> None:
        for field, offset, buffer in zip(self._fields, self._offsets, self._buffers, strict=True):
            self._new.file.seek(offset + self._start * field.nbytes)
            write_exactly(self._new.file, memoryview(bytes(buffer)))
            buffer.clear()
        self._start = self._next

    def finish(self, about: Description, records: dict[int, str]) -> None:
        """Write the record and give the file its name."""
        self._blank_up_to(self._n_calls)
        self._flush()
        lines = RecordLines(self._n_calls, self._path.parent)
        try:
            lines.add(list(records), list(records.values()))
            write_text(self._new.root, "rows", self._like.encode())
            ranges = write_record(self._new, about, lines)
        finally:
            lines.close()
        for field, offset in zip(self._fields, self._offsets, strict=True):
            length = field.nbytes * self._n_calls
            if length >= LARGE:
                found = range_checksum(self._new.file, offset, length, FORMAT_VERSION)
                ranges.append((offset, length, found))
        seal = Seal("container", self._run_id, range(self._n_calls))
        self._new.publish(seal, ranges, flush=True)
        files.flush_folder(self._path.parent)

    def abort(self) -> None:
        """Remove what there is."""
        self._new.abort()


def _signature(found: StoredCall) -> str:
    """Describe how a call returned and its datasets: the same text for results that are alike."""
    record = found.record
    fields = [
        [np.lib.format.dtype_to_descr(field.dtype), field.shape, field.text]
        for field in found.fields
    ]
    form: dict[str, Any] = {
        key: record[key] for key in ("returned", "named", "values") if key in record
    }
    return dumps({**form, "fields": fields})


class AlikeSource(SingleSource):
    """One row per call, in the container itself."""

    def __init__(self, container: Container, name: str) -> None:
        super().__init__(container, name)
        self._rows: dict[str, Any] | None = None

    @property
    def rows(self) -> dict[str, Any]:
        """How every call returned: `returned`, `values` and `fields` (dtype, shape, text)."""
        if self._rows is None:
            try:
                rows: dict[str, Any] = json.loads(read_text(self._opened().root, "rows"))
            except (KeyError, ValueError) as error:
                raise DamagedFileError(
                    f"{self.path} lacks a part of its record: {error}"
                ) from error
            self._rows = rows
        return self._rows

    def load(self, call: int) -> StoredCall:
        """Read one call that is done."""
        record = self.load_record(call)
        datasets: list[tuple[Field, Array | None]] = []
        for index, (_, shape, text) in enumerate(self.rows["fields"]):
            array = self.read(index, range(call, call + 1)).reshape(shape)
            field = Field(layout.result_name(index), array.dtype, array.shape, text)
            datasets.append((field, array))
        return StoredCall.of(record, datasets)

    def read(self, index: int, calls: range) -> Array:
        """Read rows of one return value, shape `(len(calls), ...)`."""
        fid = self._opened().fid
        try:
            dataset = h5d.open(fid, layout.result_name(index).encode())
            shape = (len(calls), *dataset.shape[1:])
            descr = self.rows["fields"][index][0]  # quicker than asking the library
            array = np.empty(shape, descr if isinstance(descr, str) else dataset.dtype)
            if self._read_direct(dataset, array, calls.start):
                return array
            space, kind = dataset.get_space(), dataset.get_type()
            space.select_hyperslab((calls.start, *[0] * (len(shape) - 1)), shape)
            memory = kind if isinstance(kind, h5t.TypeStringID) else None
            dataset.read(h5s.create_simple(shape), space, array, memory)
        except (KeyError, ValueError, RuntimeError, OSError) as error:
            raise DamagedFileError(f"{self.path} is damaged: {error}") from error
        return array

    def _read_direct(self, dataset: h5d.DatasetID, array: Array, first: int) -> bool:
        """Read rows around the library; False where it has to convert them."""
        offset, kind = dataset.get_offset(), dataset.get_type()
        plain = isinstance(kind, (h5t.TypeIntegerID, h5t.TypeFloatID)) and kind.get_order() == (
            h5t.ORDER_LE
        )
        if offset is None or not plain or array.dtype.byteorder == ">":
            return False
        row = array.dtype.itemsize * math.prod(array.shape[1:])
        self._opened().read_into(as_bytes(array), offset + first * row)
        return True

    def stack(self, index: int, calls: range) -> Array | None:
        """Stack one return value of calls; None where rows are not the values themselves."""
        forms = self.rows["values"]
        if index >= len(forms) or forms[index] not in (*SCALARS, "array"):
            return None
        shape = self.rows["fields"][index][1]
        rows = self.read(index, calls)
        scalar = forms[index] in SCALARS
        return rows if scalar else rows.reshape((len(calls), *shape))
