"""Copy stacked rows from several files into one, and check each row on the way."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from acme_io import layout
from acme_io.errors import DamagedFileError
from acme_io.files.checksum import fits
from acme_io.files.header import FileHeader
from acme_io.records.status import DONE
from acme_io.storage.call_index import CallIndex
from acme_io.storage.finisher import BaseFinisher
from acme_io.storage.run_files import RunFiles
from acme_io.storage.stacked.rows import (
    StackedFile,
    blank_rows,
    records_of,
    to_stored,
    write_stacked,
)
from acme_io.values.result_shape import Slots

Array = np.ndarray[Any, Any]

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
        # All sources stay open: rows of one file may be scattered among those of others.
        sources: dict[str, StackedFile] = {}
        try:
            for file in index.row_files(calls):
                sources[file] = StackedFile(layout.local(self.run.output_dir, file), self.slots)
            extras = [
                (call, sources[str(index.files[call])])
                for call in calls
                if index.extras[call] and index.table.status[call] == DONE
            ]
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
            for source in sources.values():
                source.close()

    def _rows(
        self, calls: range, longest: int, index: CallIndex, sources: dict[str, StackedFile]
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


def records_in(calls: range, index: CallIndex, sources: dict[str, StackedFile]) -> list[str]:
    """Collect the records of calls from the files with their rows; empty for calls without one."""
    lines = {file: records_of(source) for file, source in sources.items()}
    records = []
    for call in calls:
        file = index.files[call]
        # A call that failed or was pickled in a later attempt has no row, though its old file may.
        has_row = file in lines and index.table.status[call] == DONE
        records.append(lines[str(file)][call - sources[str(file)].calls.start] if has_row else "")
    return records
