"""Copy stacked rows from several files into one, and check each row on the way."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from acme_io import layout
from acme_io.errors import DamagedFileError
from acme_io.files.checksum import fits
from acme_io.files.header import FileHeader
from acme_io.records.call_record import DONE
from acme_io.records.run_record import RunFiles
from acme_io.storage.call_index import CallIndex
from acme_io.storage.finisher import BaseFinisher
from acme_io.storage.stacked.rows import (
    StackedFile,
    blank_rows,
    records_of,
    to_stored,
    write_stacked,
)
from acme_io.values.result_shape import Slots

Array = np.ndarray[Any, Any]

# Sources open at a time. A run may have more part files than a process may open (Linux: 1024 by
# default), and small ones stay in memory while they are open.
_OPEN_FILES = 16

# Bytes of rows in memory at a time; the client copies while it also serves the workers.
_PIECE = 16 << 20


class RowCopier(BaseFinisher):
    """The base of both stacked finishers: merge rows of many files into one."""

    def __init__(self, run: RunFiles, index: CallIndex, slots: Slots) -> None:
        super().__init__(run, index)
        self.slots = slots

    def _columns(self) -> dict[str, Array]:
        if self.slots.varying_axis is None:
            return {}
        return {"lengths": np.array(self.index.lengths, "<i8")}

    def _merge(self, path: Path, header: FileHeader, index: CallIndex, describe: Any) -> None:
        """Copy the rows of `header.calls` from the files in the index into one file."""
        calls = header.calls
        longest = index.longest_row(calls)
        sources = SourceFiles(self.run.output_dir, self.slots)
        # Lazy, because each source is open only while it is used.
        extras = (
            (call, sources[str(index.files[call])])
            for call in calls
            if index.extras[call] and index.table.status[call] == DONE
        )
        try:
            write_stacked(
                path,
                header,
                self.slots,
                longest,
                lambda: self._rows(calls, longest, index, sources),
                lambda root: describe(root, sources),
                extras,
            )
        finally:
            sources.close()

    def _rows(
        self, calls: range, longest: int, index: CallIndex, sources: "SourceFiles"
    ) -> Iterator[tuple[range, Array | None]]:
        row = int(np.prod(self.slots.full_shape(1, longest))) * self.slots.dtype.itemsize
        step = max(_PIECE // max(row, 1), 1)
        for file, span in index.spans(calls):
            for start in range(span.start, span.stop, step):
                piece = range(start, min(start + step, span.stop))
                rows = None if file is None else self._checked(sources[file], piece, longest, index)
                yield piece, rows

    def _checked(self, source: StackedFile, calls: range, longest: int, index: CallIndex) -> Array:
        """Read rows, compare them with the checksums of the workers and pad them."""
        slots, lengths = self.slots, index.lengths
        stored = source.rows(calls)
        # Row by row: the worker computed each checksum before the row was first written, so it also
        # covers damage between the worker's memory and this read.
        for at, call in enumerate(calls):
            row = (
                np.take(stored, at, axis=slots.stacking_axis) if slots.stacking_axis else stored[at]
            )
            if slots.varying_axis is not None:
                # A row lacks the stacking axis, which moves later axes down by one.
                axis = slots.varying_axis - (slots.varying_axis > slots.stacking_axis)
                row = row[(slice(None),) * axis + (slice(0, lengths[call]),)]
            if not fits(int(index.table.checksum[call]) & 0xFFFFFFFF, [to_stored(row)]):
                raise DamagedFileError(
                    f"The result of call {call} in {source.path} changed after it was written."
                )
        return self._padded(stored, longest)

    def _padded(self, rows: Array, longest: int) -> Array:
        axis = self.slots.varying_axis
        if axis is None or rows.shape[axis] == longest:
            return rows
        keep = [slice(0, n) for n in rows.shape]
        keep[axis] = slice(0, min(rows.shape[axis], longest))
        padded = blank_rows(self.slots, rows.shape[self.slots.stacking_axis], longest)
        padded[tuple(keep)] = rows[tuple(keep)]
        return padded


class SourceFiles:
    """The files to copy from, opened on demand; the least recently used one is closed first.

    Parameters
    ----------
    output_dir : pathlib.Path
        The output directory.
    slots : Slots
        Shape and dtype of a row.
    """

    def __init__(self, output_dir: Path, slots: Slots) -> None:
        self._output_dir, self._slots = output_dir, slots
        self._open: dict[str, StackedFile] = {}

    def __getitem__(self, file: str) -> StackedFile:
        """Return an open file; it may be closed once other files are asked for."""
        source = self._open.pop(file, None)
        if source is None:
            while len(self._open) >= _OPEN_FILES:
                # Dictionaries keep the order of insertion: the first one was not used for longest.
                self._open.pop(next(iter(self._open))).close()
            source = StackedFile(layout.local(self._output_dir, file), self._slots)
        self._open[file] = source
        return source

    def close(self) -> None:
        """Close all files."""
        while self._open:
            self._open.popitem()[1].close()


def records_in(calls: range, index: CallIndex, sources: SourceFiles) -> list[str]:
    """Collect the records of calls from the files with their rows; empty for calls without one."""
    records = [""] * len(calls)
    rows: dict[str, list[int]] = {}
    for span in index.spans(calls):
        if span.file is not None:
            rows.setdefault(span.file, []).extend(span.calls)
    for file, held in rows.items():
        source = sources[file]
        lines = records_of(source)
        for call in held:
            records[call - calls.start] = lines[call - source.calls.start]
    return records
