"""The source of stacked results: rows in batch files, in parts, or in the container itself."""

import bisect
from pathlib import Path
from typing import Any

import numpy as np

from . import layout
from .errors import DamagedFileError, MissingCallError
from .hdf5 import Field
from .record import DONE, MISSING, PICKLED, call_from_json
from .single_source import ContainerRecords, part_is_gone
from .sources import Container, Source, StoredCall, read_values, without_lost_pickles
from .stacking import StackedFile, as_given, blank_rows, records_of

__all__ = ["StackedSource"]

Array = np.ndarray[Any, Any]


class StackedSource(Source):
    """Rows of a stacked dataset, in batch files or in the container itself."""

    def __init__(self, container: Container, name: str) -> None:
        folder = container.path.parent
        if container.sources is not None and not container.in_parts:
            folder = folder / layout.payload_folder(name)
        super().__init__(container, folder, name)
        if container.slots is None:
            raise DamagedFileError(f"{container.path} does not say how its results are stacked.")
        self.slots = container.slots
        everything = [(self.path.name, range(len(self.table)))]
        self.sources = everything if container.sources is None else container.sources
        self._starts = [calls.start for _, calls in self.sources]
        self._open: tuple[str, StackedFile] | None = None
        self._records: dict[str, list[str] | ContainerRecords] = {}

    def present(self) -> Array:
        """Status of every call; rows of lost files count as missing."""
        status = without_lost_pickles(self)
        for file, calls in self.sources:
            if not self.place(file).exists():
                rows = status[calls.start : calls.stop]
                rows[rows == DONE] = MISSING
        return status

    def place(self, file: str) -> Path:
        """Path of a source file."""
        return layout.local(self.path.parent, file)

    def opened(self, file: str) -> StackedFile:
        """Open a source file, after checking that it is whole and of this run."""
        if self._open is not None and self._open[0] == file:
            return self._open[1]
        path = self.place(file)
        try:
            opened = StackedFile(path, self.slots, self.check)
        except FileNotFoundError:
            if self.container.in_parts:
                raise part_is_gone(path, self.path) from None
            raise MissingCallError(
                f"{path} is gone, and with it rows of the results. Was the container moved without "
                "its folder?"
            ) from None
        if opened.seal.run != self.run_id:
            opened.close()
            raise MissingCallError(
                f"{path} belongs to run {opened.seal.run}, not to run {self.run_id} in "
                f"{self.path}. Copy the right file back."
            )
        self.close()
        self._open = (file, opened)
        return opened

    def _source_of(self, call: int) -> StackedFile:
        at = bisect.bisect_right(self._starts, call) - 1
        if at < 0 or call not in self.sources[at][1]:
            raise MissingCallError(f"No file of {self.path} has the result of call {call}.")
        return self.opened(self.sources[at][0])

    def load_record(self, call: int) -> dict[str, Any]:
        """Read the record of one call."""
        if self.table.status[call] == PICKLED:
            return self._pickle_record(call)
        source = self._source_of(call)
        key = source.path.name
        if key not in self._records:
            if len(self._records) > 8:
                self._records.clear()
            own = source.path == self.path
            self._records[key] = ContainerRecords(source.sealed) if own else records_of(source)
        records = self._records[key]
        if isinstance(records, ContainerRecords):
            return records[call]
        return call_from_json(records[call - source.calls.start])

    def load(self, call: int) -> StoredCall:
        """Read one call that is done: its row, then its further values."""
        record = self.load_record(call)
        source = self._source_of(call)
        row = as_given(source.row(call, record.get("length")), self.slots)
        try:
            others = read_values(source.fid, f"{layout.call_group(call)}/", record, 1)
        except (KeyError, ValueError, RuntimeError, OSError) as error:
            raise DamagedFileError(f"Call {call} in {source.path} is damaged: {error}") from error
        field = Field(layout.result_name(0), row.dtype, row.shape)
        return StoredCall.of(record, [(field, row), *others])

    def rows(self, calls: range) -> tuple[Array, dict[int, Exception]]:
        """Read the rows of consecutive calls, file by file.

        Returns
        -------
        rows : numpy.ndarray
            As in the stacked dataset; rows that cannot be read hold the fill value.
        absent : dict of int to Exception
            The calls whose files are gone or damaged, with the reason.
        """
        longest = (
            0 if self.container.lengths is None else int(max(self.container.lengths, default=0))
        )
        stacked = blank_rows(self.slots, len(calls), longest)
        absent: dict[int, Exception] = {}
        for file, held in self.sources:
            part = range(max(held.start, calls.start), min(held.stop, calls.stop))
            if not part:
                continue
            try:
                rows = self.opened(file).rows(part)
            except (OSError, MissingCallError) as error:
                absent |= dict.fromkeys(part, error)
                continue
            where = [slice(0, n) for n in rows.shape]
            where[self.slots.stacking_axis] = slice(
                part.start - calls.start, part.stop - calls.start
            )
            stacked[tuple(where)] = rows
        return as_given(stacked, self.slots), absent

    def close(self) -> None:
        """Close the source file that is open."""
        if self._open is not None:
            self._open[1].close()
            self._open = None
