"""Write merged results of one shape and dtype: a dataset per return value, a row per call."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from acme_io.files import atomic
from acme_io.files.checksum import LARGE, as_bytes, range_checksum
from acme_io.files.header import FORMAT_VERSION, FileHeader, block_size
from acme_io.hdf5.container import Description
from acme_io.hdf5.new_file import NewFile, write_exactly
from acme_io.hdf5.objects import Field, add_dataset, allocated_offset, write_text
from acme_io.hdf5.record_lines import RecordLines
from acme_io.records.serialization import dumps
from acme_io.storage.single_file.assembler import write_record
from acme_io.storage.source import StoredCall
from acme_io.values.result_shape import fill_value

Array = np.ndarray[Any, Any]

# Bytes of rows per write; a row of a few numbers is not worth a system call of its own.
_BUFFER = 1 << 20


class UniformWriter:
    """Writes one row per call, directly into space that HDF5 has allocated.

    Parameters
    ----------
    path : pathlib.Path
        Final name of the file.
    run_id : str
        The run's id.
    n_calls : int
        Number of calls of the run.
    first : StoredCall
        The first result; all others must have the same form, dtypes and shapes.
    """

    def __init__(self, path: Path, run_id: str, n_calls: int, first: StoredCall) -> None:
        self._path, self._run_id, self._n_calls = path, run_id, n_calls
        self._signature = _signature(first)
        self._fields = first.fields
        n_large = len(first.fields)
        # 8 more ranges for long attributes: the records and the columns of the call table.
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
        """Whether results of this form can be rows of datasets."""
        return bool(found.fields) and all(field.nbytes for field in found.fields)

    def _add(self, field: Field) -> int:
        dataset = add_dataset(self._new.root, field._replace(shape=self._shape(field)))
        return allocated_offset(dataset)

    def _shape(self, field: Field) -> tuple[int, ...]:
        # Payloads hold a scalar as shape (1,); its column needs no second axis.
        row = field.shape or ()
        return (self._n_calls, *(() if row == (1,) else row))

    def add(self, call: int, found: StoredCall) -> bool:
        """Write the next row; return False if its form differs from that of the first one."""
        if _signature(found) != self._signature:
            return False
        self._fill_up_to(call)
        self._append(found.arrays)
        return True

    def _append(self, arrays: Sequence[Array | None]) -> None:
        """Add the next row to the buffers, and write them when they are full."""
        for buffer, array in zip(self._buffers, arrays, strict=True):
            buffer += as_bytes(array if array is not None else np.zeros(0))
        self._next += 1
        if sum(map(len, self._buffers)) >= _BUFFER:
            self._flush()

    def _fill_up_to(self, call: int) -> None:
        """Write fill values for calls without a result."""
        if self._next == call:
            return
        blank = [
            np.full(field.shape or (), fill_value(field.dtype), field.dtype)
            for field in self._fields
        ]
        # Row by row through the buffers: a run may lack thousands of large results.
        while self._next < call:
            self._append(blank)

    def _flush(self) -> None:
        for field, offset, buffer in zip(self._fields, self._offsets, self._buffers, strict=True):
            # Around the library: HDF5 has allocated the space early, so the offset is known.
            self._new.file.seek(offset + self._start * field.nbytes)
            write_exactly(self._new.file, memoryview(bytes(buffer)))
            buffer.clear()
        self._start = self._next

    def finish(self, about: Description, records: dict[int, str]) -> None:
        """Write the record, flush the file to disk and give it its final name."""
        self._fill_up_to(self._n_calls)
        self._flush()
        lines = RecordLines(self._n_calls, self._path.parent)
        try:
            lines.add(list(records), list(records.values()))
            write_text(self._new.root, "rows", self._signature.encode())
            ranges = write_record(self._new, about, lines)
        finally:
            lines.close()
        for field, offset in zip(self._fields, self._offsets, strict=True):
            length = field.nbytes * self._n_calls
            # Only now, by reading the data back: the datasets were written interleaved, but each
            # has a checksum of its own.
            if length >= LARGE:
                found = range_checksum(self._new.file, offset, length, FORMAT_VERSION)
                ranges.append((offset, length, found))
        header = FileHeader("container", self._run_id, range(self._n_calls))
        self._new.publish(header, ranges, flush=True)
        atomic.flush_folder(self._path.parent)

    def abort(self) -> None:
        """Remove the unfinished file."""
        self._new.abort()


def _signature(found: StoredCall) -> str:
    """Describe the form of a result as text, equal for results that can share datasets."""
    record = found.record
    fields = [
        [np.lib.format.dtype_to_descr(field.dtype), field.shape, field.text]
        for field in found.fields
    ]
    form: dict[str, Any] = {
        key: record[key] for key in ("returned", "named", "values") if key in record
    }
    return dumps({**form, "fields": fields})
