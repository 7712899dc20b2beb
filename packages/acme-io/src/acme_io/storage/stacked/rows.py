"""Stacked results: the rows of many calls in one dataset, `result_0`.

A batch file holds the rows of consecutive calls along the stacking axis. The container maps the
batch files into one virtual dataset, where rows that are in no file read as the fill value.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from acme_io import layout
from acme_io.errors import DamagedFileError
from acme_io.files.checksum import as_bytes, checksum
from acme_io.files.header import FileHeader, block_size
from acme_io.hdf5.checked_file import CheckedFile
from acme_io.hdf5.members import datasets_in, fields_of
from acme_io.hdf5.objects import (
    Field,
    add_dataset,
    allocated_offset,
    copy_member,
    has_member,
    open_dataset,
    open_group,
    read_array,
    read_text,
    write_text,
)
from acme_io.hdf5.run_file import Data, build_file, write_file
from acme_io.hdf5.slabs import VirtualSource, add_virtual_dataset, read_slab, write_slab
from acme_io.records.run_record import RunStamp
from acme_io.values.encoded import Node
from acme_io.values.result_shape import Slots, fill_value

__all__ = [
    "RowSource",
    "StackedFile",
    "row_checksum",
    "stored_dtype",
    "virtual_stack",
    "write_batch",
]

Array = np.ndarray[Any, Any]
RESULT = layout.result_name(0)


def stored_dtype(slots: Slots) -> np.dtype[Any]:
    """Return the dtype in the file: 64-bit integers for dates and time differences."""
    # HDF5 has no such types. h5py could store opaque bytes, which other programs cannot interpret.
    return np.dtype("<i8") if slots.dtype.kind in "mM" else slots.dtype


def to_stored(array: Array) -> Array:
    """View dates and time differences as 64-bit integers; return other arrays unchanged."""
    if array.dtype.kind not in "mM":
        return array
    return array.astype(array.dtype.newbyteorder("<"), copy=False).view("<i8")


def from_stored(array: Array, slots: Slots) -> Array:
    """Return rows in the dtype of `result_dtype`; the inverse of `to_stored`."""
    if slots.dtype.kind not in "mM":
        return array
    return array.view(slots.dtype.newbyteorder("<")).astype(slots.dtype, copy=False)


def row_checksum(row: Array) -> int:
    """Return the CRC-32 of one row, the same in every file that holds the row."""
    return checksum(as_bytes(to_stored(row)))


def write_batch(
    path: Path,
    kind: str,
    stamp: RunStamp,
    calls: range,
    slots: Slots,
    rows: Sequence[Array | None],
    extras: Mapping[int, Sequence[Node]],
    records: str,
) -> None:
    """Write the rows of consecutive calls into one file.

    Parameters
    ----------
    path : pathlib.Path
        Final name; the file is flushed to disk before it gets this name.
    kind : str
        `"batch"` or `"part"`.
    stamp : RunStamp
        The run.
    calls : range
        The calls.
    slots : Slots
        Shape and dtype of a row.
    rows : sequence of numpy.ndarray or None
        One per call; None for calls without a row.
    extras : mapping of int to sequence of Encoded or EncodedGroup
        Further return values by call, stored as `comp_3/result_1` and so on.
    records : str
        The records of the calls, one line each.
    """
    stacked = to_stored(_stack(slots, rows))
    fields = [Field(RESULT, stacked.dtype, stacked.shape)]
    arrays: list[Array | None] = [stacked]
    for call, values in sorted(extras.items()):
        found = fields_of(values, first=1, where=f"{layout.call_group(call)}/")
        fields += found[0]
        arrays += found[1]
    write_file(path, kind, stamp, calls, records, fields, arrays, flush=True)


def _stack(slots: Slots, rows: Sequence[Array | None]) -> Array:
    # No copy of a single row: those of 32 MB and more come one per file (`LARGEST_BATCH`).
    if len(rows) == 1 and rows[0] is not None:
        return np.expand_dims(rows[0], slots.stacking_axis)
    return slots.stack(rows)[0]


class RowSource(NamedTuple):
    """Consecutive calls with rows in one file; `file_longest` is the file's longest row."""

    file: str
    file_calls: range
    file_longest: int
    calls: range


def virtual_stack(
    root: Any, slots: Slots, n_calls: int, longest: int, sources: Iterable[RowSource]
) -> None:
    """Create the virtual dataset `result_0` in the root group of a container.

    Parameters
    ----------
    root : h5py.h5g.GroupID
        The root group.
    slots : Slots
        Shape and dtype of a row.
    n_calls, longest : int
        Number of rows, and their greatest length along the varying axis (0 without one).
    sources : iterable of RowSource
        The files with the rows, named relative to the container.
    """
    field = Field(RESULT, stored_dtype(slots), slots.full_shape(n_calls, longest))
    fill = to_stored(np.array([fill_value(slots.dtype)], slots.dtype))
    # Zero is the default fill value of HDF5; leave it out of the file.
    given = fill.dtype.kind in "ifc" and fill.tobytes().strip(b"\0")
    parts = (_virtual_source(slots, one) for one in sources)
    # Rows without elements: nothing to map.
    mapped = (one for one in parts if 0 not in one.file_shape)
    add_virtual_dataset(root, field, fill if given else None, mapped)


def _virtual_source(slots: Slots, source: RowSource) -> VirtualSource:
    """Map rows of a file into the virtual dataset."""
    shape = slots.full_shape(len(source.file_calls), source.file_longest)
    first = source.calls.start - source.file_calls.start
    # Both selections have the extent of the file: its rows may be shorter than those of others
    # along the varying axis, and what is left of the target reads as the fill value.
    return VirtualSource(
        source.file,
        RESULT,
        shape,
        _row_start(slots, first),
        _row_start(slots, source.calls.start),
        _with_rows(slots, shape, len(source.calls)),
    )


def _row_start(slots: Slots, row: int) -> list[int]:
    """Return the index of the first element of a row in a stacked dataset."""
    start = [0] * len(slots.shape)
    start[slots.stacking_axis] = row
    return start


def _with_rows(slots: Slots, shape: Sequence[int], count: int) -> tuple[int, ...]:
    """Replace the number of rows in the shape of a stacked array."""
    changed = list(shape)
    changed[slots.stacking_axis] = count
    return tuple(changed)


class StackedFile:
    """A file with rows of consecutive calls, open for reading.

    Parameters
    ----------
    path : pathlib.Path
        A batch file, a part file or a container with a dataset of its own.
    slots : Slots
        Shape and dtype of a row.
    check : str
        What to check when it is opened (`acme_io.files.header.read_header`).

    Raises
    ------
    OSError
        The file cannot be opened, or is damaged.
    """

    def __init__(self, path: Path, slots: Slots, check: str = "structure") -> None:
        self.path, self.slots = path, slots
        self.checked = CheckedFile(path, check)
        self.header, self.fid = self.checked.header, self.checked.fid
        self.calls = self.header.calls
        try:
            self._dataset = open_dataset(self.fid, RESULT)
        except (KeyError, RuntimeError) as error:
            self.close()
            raise DamagedFileError(f"{path} has no dataset {RESULT}: {error}") from error
        if len(self._dataset.shape) != len(slots.shape):
            self.close()
            raise DamagedFileError(f"{path}: {RESULT} has shape {self._dataset.shape}.")

    def __contains__(self, group: str) -> bool:
        """Whether the file has a group of this name."""
        return has_member(self.checked.root, group)

    def rows(self, calls: range, length: int | None = None) -> Array:
        """Read the rows of consecutive calls in the stored dtype.

        Parameters
        ----------
        calls : range
            Calls within the range of the file.
        length : int, optional
            Length along the varying axis, by default that of the longest row in the file.

        Raises
        ------
        DamagedFileError
            HDF5 cannot read them.
        """
        slots = self.slots
        extent = list(_with_rows(slots, self._dataset.shape, len(calls)))
        if length is not None and slots.varying_axis is not None:
            extent[slots.varying_axis] = length
        array = np.empty(extent, stored_dtype(slots))
        if array.size:
            start = _row_start(slots, calls.start - self.calls.start)
            try:
                read_slab(self._dataset, array, start)
            except (OSError, ValueError) as error:
                raise DamagedFileError(f"{self.path} cannot be read: {error}") from error
        return array

    def checked_rows(self, calls: range) -> Array:
        """Read rows; the first read also compares the whole dataset with its checksum."""
        rows = self.rows(calls)
        self.checked.check_data(self._dataset, rows)
        return rows

    def row(self, call: int, length: int | None = None) -> Array:
        """Read the row of one call, without the stacking axis."""
        return self.rows(range(call, call + 1), length).squeeze(self.slots.stacking_axis)

    def copy_group(self, group: str, root: Any) -> None:
        """Check the datasets of a group and copy it into the root group of another file."""
        for dataset in datasets_in(open_group(self.fid, group)):
            array = read_array(dataset)
            if array is not None:
                self.checked.check_data(dataset, array)
        copy_member(self.fid, root, group)

    def close(self) -> None:
        """Close the file."""
        self.checked.close()


def write_stacked(
    path: Path,
    header: FileHeader,
    slots: Slots,
    longest: int,
    pieces: Callable[[], Iterator[tuple[range, Array | None]]],
    describe: Callable[[Any], None],
    extras: Iterable[tuple[int, StackedFile]] = (),
) -> None:
    """Write rows that arrive in pieces into one file, with one piece at a time in memory.

    Parameters
    ----------
    path : pathlib.Path
        Final name; the file is flushed to disk before it gets this name.
    header : FileHeader
        Kind, run and calls of the file.
    slots : Slots
        Shape and dtype of a row.
    longest : int
        Length along the varying axis (0 without one).
    pieces : callable
        Yields consecutive calls and their rows in the stored dtype, padded to `longest`; None for
        calls without rows.
    describe : callable
        Writes the attributes of the root group.
    extras : iterable of (int, StackedFile)
        Calls with further return values, and the files with their groups.
    """
    shape = slots.full_shape(len(header.calls), longest)
    field = Field(RESULT, stored_dtype(slots), shape)
    header.block = block_size(1, header.run)

    def lay_out(root: Any) -> list[Data]:
        describe(root)
        dataset = add_dataset(root, field)
        for call, source in extras:
            source.copy_group(layout.call_group(call), root)
            header.version = max(header.version, source.header.version)
        if not field.nbytes:
            return []
        # With the calls along the first axis, rows are contiguous in the file and can be written
        # directly; along another axis HDF5 has to scatter them.
        if slots.stacking_axis:
            _write_slabs(dataset, slots, header.calls, shape, pieces())
            return [Data(allocated_offset(dataset), field.nbytes, None)]
        blank = _blank(slots, shape[1:])
        contents = (_filled(rows, len(calls), blank) for calls, rows in pieces())
        return [Data(allocated_offset(dataset), field.nbytes, contents)]

    build_file(path, header, lay_out, dense=True, flush=True)


def _blank(slots: Slots, row_shape: tuple[int, ...]) -> Array:
    return to_stored(np.full(row_shape, fill_value(slots.dtype), slots.dtype))


def blank_rows(slots: Slots, count: int, longest: int) -> Array:
    """Make rows of fill values in the stored dtype."""
    shape = slots.full_shape(count, longest)
    return to_stored(np.full(shape, fill_value(slots.dtype), slots.dtype))


def _filled(rows: Array | None, count: int, blank: Array) -> Array:
    if rows is not None:
        return rows
    # A view that takes the memory of one row until it is written.
    return np.broadcast_to(blank, (count, *blank.shape))


def _write_slabs(
    dataset: Any,
    slots: Slots,
    calls: range,
    shape: tuple[int, ...],
    pieces: Iterator[tuple[range, Array | None]],
) -> None:
    axis = slots.stacking_axis
    blank = np.expand_dims(_blank(slots, shape[:axis] + shape[axis + 1 :]), axis)
    for piece, rows in pieces:
        for first in range(piece.start, piece.stop, len(piece) if rows is not None else 1):
            # Missing rows are few: write them one by one.
            content = np.ascontiguousarray(rows if rows is not None else blank)
            write_slab(dataset, content, _row_start(slots, first - calls.start))


def write_attributes(root: Any, texts: Mapping[str, str]) -> None:
    """Write text attributes into the root group."""
    for name, text in texts.items():
        write_text(root, name, text.encode())


def records_of(source: StackedFile) -> list[str]:
    """Read the records in a batch or part file, one line per call."""
    # Records are padded with spaces, to few different lengths (`acme_io.hdf5.run_file`).
    lines = read_text(open_group(source.fid, "/"), "calls").rstrip(" ").split("\n")
    if len(lines) != len(source.calls):
        raise DamagedFileError(
            f"{source.path} has {len(lines)} records for {len(source.calls)} calls."
        )
    return lines
