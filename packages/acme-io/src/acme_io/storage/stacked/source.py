"""The source of stacked results: rows in batch files, in parts, or in the container itself."""

import bisect
from pathlib import Path
from typing import Any

import numpy as np

from acme_io import layout
from acme_io.errors import AcmeIOError, DamagedFileError, MissingCallError
from acme_io.files.checksum import fits
from acme_io.files.header import read_header
from acme_io.hdf5.objects import Field
from acme_io.records.call_record import call_from_json
from acme_io.records.call_table import CallTable
from acme_io.records.status import DONE, MISSING, PICKLED
from acme_io.storage.container_facts import ContainerFacts
from acme_io.storage.container_records import ContainerRecords
from acme_io.storage.source import (
    Problem,
    Source,
    StoredCall,
    data_changed,
    part_is_gone,
    read_values,
)
from acme_io.storage.stacked.rows import StackedFile, as_given, as_stored, blank_rows, records_of

__all__ = ["StackedSource"]

Array = np.ndarray[Any, Any]


class StackedSource(Source):
    """Rows of a stacked dataset, in batch files or in the container itself."""

    def __init__(self, facts: ContainerFacts, name: str) -> None:
        folder = facts.path.parent
        if facts.sources is not None and not facts.in_parts:
            folder = folder / layout.payload_folder(name)
        super().__init__(facts, folder, name)
        if facts.slots is None:
            raise DamagedFileError(f"{facts.path} does not say how its results are stacked.")
        self.slots = facts.slots
        everything = [(self.path.name, range(len(self.table)))]
        self.sources = everything if facts.sources is None else facts.sources
        self._starts = [calls.start for _, calls in self.sources]
        self._open: tuple[str, StackedFile] | None = None
        self._records: dict[str, list[str] | ContainerRecords] = {}

    def present(self) -> Array:
        """Status of every call; rows of lost files count as missing."""
        status = super().present()
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
            if self.facts.in_parts:
                raise part_is_gone(path, self.path) from None
            raise MissingCallError(
                f"{path} is gone, and with it rows of the results. Was the container moved without "
                "its folder?"
            ) from None
        if opened.header.run != self.run_id:
            opened.close()
            raise MissingCallError(
                f"{path} belongs to run {opened.header.run}, not to run {self.run_id} in "
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
            return self.pickle_record(call)
        source = self._source_of(call)
        key = source.path.name
        if key not in self._records:
            if len(self._records) > 8:
                self._records.clear()
            own = source.path == self.path
            self._records[key] = ContainerRecords(source.checked) if own else records_of(source)
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
            others = read_values(source.checked, f"{layout.call_group(call)}/", record, 1)
        except (KeyError, ValueError, RuntimeError, OSError) as error:
            raise DamagedFileError(f"Call {call} in {source.path} is damaged: {error}") from error
        # The row alone: the checksum of the file's dataset would need all of it.
        if not fits(int(self.table.checksum[call]) & 0xFFFFFFFF, [as_stored(row)]):
            raise data_changed(call, source.path)
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
        longest = 0 if self.facts.lengths is None else int(max(self.facts.lengths, default=0))
        stacked = blank_rows(self.slots, len(calls), longest)
        absent: dict[int, Exception] = {}
        for file, held in self.sources:
            part = range(max(held.start, calls.start), min(held.stop, calls.stop))
            if not part:
                continue
            try:
                opened = self.opened(file)
                rows = opened.checked_rows(part)
            except (OSError, MissingCallError) as error:
                absent |= dict.fromkeys(part, error)
                continue
            where = [slice(0, n) for n in rows.shape]
            where[self.slots.stacking_axis] = slice(
                part.start - calls.start, part.stop - calls.start
            )
            stacked[tuple(where)] = rows
        return as_given(stacked, self.slots), absent

    def stack(self, index: int, calls: range, missing: str) -> Array | None:
        """Read rows file by file, for the first return value; see `Source.stack`."""
        if index:
            return None
        rows, absent = self.rows(calls)
        for at in np.flatnonzero(self.table.status[calls.start : calls.stop] != DONE):
            absent.setdefault(calls[at], MissingCallError("it has no row."))
        if absent and missing == "raise":
            listed = ", ".join(str(call) for call in sorted(absent)[:10])
            more = " …" if len(absent) > 10 else ""
            first = absent[min(absent)]
            raise MissingCallError(
                f"{len(absent)} of {len(calls)} calls have no row: {listed}{more}. First: {first} "
                'Use stack(missing="mask") for a masked array.'
            )
        if missing == "raise":
            return rows
        mask = np.zeros(rows.shape, bool)
        where: list[Any] = [slice(None)] * rows.ndim
        where[self.slots.stacking_axis] = [call - calls.start for call in sorted(absent)]
        mask[tuple(where)] = True
        return np.ma.MaskedArray(rows, mask)

    def _problems_with_results(self) -> list[Problem]:
        """Check the source files whole, and name the rows that have changed."""
        problems = []
        for file in dict.fromkeys(file for file, _ in self.sources):
            calls = [c for held, run in self.sources if held == file for c in run]
            done = [call for call in calls if self.table.status[call] == DONE]
            path = self.place(file)
            try:
                if path != self.path:
                    read_header(path, check="all")
            except (AcmeIOError, OSError) as error:
                rows = [call for call in done if not self._row_is_whole(call)]
                problems.append(Problem(rows or done, str(error)))
                continue
            rows = [call for call in done if not self._row_is_whole(call)]
            if rows:
                problems.append(Problem(rows, f"Rows in {path} have changed."))
        return problems

    def _row_is_whole(self, call: int) -> bool:
        try:
            self.load(call)
        except (AcmeIOError, OSError):
            return False
        return True

    def merge(self, target: Path, table: CallTable) -> bool:
        """Copy all rows into one stacked dataset."""
        from acme_io.storage.stacked.single_container import merge_stacked

        merge_stacked(self, target, table)
        return True

    def close(self) -> None:
        """Close the source file that is open."""
        if self._open is not None:
            self._open[1].close()
            self._open = None
