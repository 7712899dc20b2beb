"""Read stacked results: rows in batch files, in part files or in the container itself."""

import bisect
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from acme_io import layout
from acme_io.errors import AcmeIOError, DamagedFileError, MissingCallError
from acme_io.files.checksum import as_bytes, checksum, fits
from acme_io.files.header import read_header
from acme_io.hdf5.objects import Field
from acme_io.records.argument_text import recorded_arguments
from acme_io.records.call_record import DONE, MISSING, PICKLED, STATUS_NAMES
from acme_io.records.call_table import CallTable
from acme_io.records.serialization import call_from_json
from acme_io.storage.container_facts import ContainerFacts, ContainerRecords, alike
from acme_io.storage.source import (
    Problem,
    Source,
    StoredCall,
    data_changed,
    part_missing,
    read_values,
)
from acme_io.storage.stacked.rows import StackedFile, blank_rows, from_stored, records_of, to_stored

__all__ = ["StackedSource"]

Array = np.ndarray[Any, Any]

_RECORDS = 8  # files whose records stay in memory
# Bytes of rows in memory at a time while they are verified.
_PIECE = 16 << 20


class StackedSource(Source):
    """Rows of a stacked dataset; one source file at a time is open.

    Parameters
    ----------
    facts : ContainerFacts
        The run; `sources` names the files with the rows, None for the container itself.
    name : str
        The cleaned function name.

    Raises
    ------
    DamagedFileError
        Shape and dtype of the rows are not on record.
    """

    def __init__(self, facts: ContainerFacts, name: str) -> None:
        # The folder of pickled calls; a single-file run keeps them beside the container.
        folder = facts.path.parent
        if facts.sources is not None and not facts.in_parts:
            folder = folder / layout.payload_folder(name)
        super().__init__(facts, folder, name)
        if facts.slots is None:
            raise DamagedFileError(f"{facts.path} does not say how its results are stacked.")
        self.slots = facts.slots
        whole_file = [(self.path.name, range(len(self.table)))]
        self.sources = whole_file if facts.sources is None else facts.sources
        # Sources are in the order of calls, so bisection over the first calls finds a call's file.
        self._starts = [calls.start for _, calls in self.sources]
        # Files are opened and checked one at a time: reading through the virtual dataset would keep
        # all of them open, and would read a missing or damaged one as fill values.
        self._open: tuple[str, StackedFile] | None = None
        self._records: dict[str, list[str] | ContainerRecords] = {}

    def present(self) -> Array:
        """Return the status of every call, `MISSING` for rows in files that no longer exist."""
        status = super().present()
        for file, calls in self.sources:
            if not self.source_path(file).exists():
                rows = status[calls.start : calls.stop]
                rows[rows == DONE] = MISSING
        return status

    @property
    def stacking_axis(self) -> int:
        """Axis along which the calls lie, the `None` in `result_shape`."""
        return self.slots.stacking_axis

    def source_path(self, file: str) -> Path:
        """Return the path of a source file."""
        return layout.local(self.path.parent, file)

    def opened(self, file: str) -> StackedFile:
        """Open a source file and check that it is intact and belongs to this run."""
        if self._open is not None and self._open[0] == file:
            return self._open[1]
        path = self.source_path(file)
        try:
            opened = StackedFile(path, self.slots, self.check)
        except FileNotFoundError:
            if self.facts.in_parts:
                raise part_missing(path, self.path) from None
            raise MissingCallError(
                f"{path} is gone, and with it rows of the results. Was the container moved "
                "without its folder?"
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

    def _held_with(self, call: int) -> range:
        """Return the consecutive calls, this one among them, that are in one file."""
        return self.sources[bisect.bisect_right(self._starts, call) - 1][1]

    def load_record(self, call: int) -> dict[str, Any]:
        """Read the record of one call."""
        if self.table.status[call] == PICKLED:
            return self.pickle_record(call)
        return call_from_json(self._line(call))

    def _line(self, call: int) -> str:
        """Return the record of one call as text."""
        return next(self._lines([call]))

    def _lines(self, calls: Sequence[int]) -> Iterator[str]:
        """Yield the records of calls in increasing order, as text."""
        at = 0
        while at < len(calls):
            source = self._source_of(calls[at])
            end = bisect.bisect_left(calls, self._held_with(calls[at]).stop, at)
            records = self._records_in(source)
            if isinstance(records, ContainerRecords):
                yield from map(records.line, calls[at:end])
            else:
                first = source.calls.start
                yield from [records[call - first] for call in calls[at:end]]
            at = end

    def _records_in(self, source: StackedFile) -> list[str] | ContainerRecords:
        """Read the records in a file, or find them among those of the last few files."""
        key = source.path.name
        if key not in self._records:
            # Enough to read in order, or to go back and forth a little; the records of many files
            # take as much memory as small results.
            if len(self._records) > _RECORDS:
                self._records.clear()
            own = source.path == self.path
            self._records[key] = ContainerRecords(source.checked) if own else records_of(source)
        return self._records[key]

    def arguments(self, calls: Sequence[int]) -> list[dict[str, Any]]:
        """Read the arguments of calls, those in the files with their rows all at once."""
        pickled = (self.table.status[calls] == PICKLED).tolist()
        here = [call for call, other in zip(calls, pickled, strict=True) if not other]
        found = iter(recorded_arguments(self._lines(here)))
        return [
            self.pickle_record(call).get("arguments", {}) if other else next(found)
            for call, other in zip(calls, pickled, strict=True)
        ]

    def alike(self, calls: Sequence[int]) -> bool:
        """Whether these calls returned values of the same form, judged by their records."""
        return alike(self._lines(calls))

    def load_scalars(self, call: int) -> StoredCall:
        """Read one call with status `DONE`, without its arrays."""
        if not self.slots.slot_shape:
            return self.load(call)
        record = self.load_record(call)
        others = self._others(self._source_of(call), call, record, scalars=True)
        row = Field(layout.result_name(0), self.slots.dtype, None)
        return StoredCall.of(record, [(row, None), *others])

    def load(self, call: int) -> StoredCall:
        """Read one call with status `DONE`: its row, then its further return values."""
        record = self.load_record(call)
        source = self._source_of(call)
        row = from_stored(source.row(call, record.get("length")), self.slots)
        others = self._others(source, call, record)
        # Compare the row alone; the checksum of the whole dataset would need all of its data. The
        # low 32 bits are the checksum of the row, the high ones that of further values.
        if not fits(int(self.table.checksum[call]) & 0xFFFFFFFF, [to_stored(row)]):
            raise data_changed(call, source.path)
        field = Field(layout.result_name(0), row.dtype, row.shape)
        return StoredCall.of(record, [(field, row), *others])

    def _others(
        self, source: StackedFile, call: int, record: dict[str, Any], *, scalars: bool = False
    ) -> list[tuple[Field, Array | None]]:
        """Read the return values of a call that follow its row."""
        group = f"{layout.call_group(call)}/"
        try:
            return read_values(source.checked, group, record, 1, scalars=scalars)
        except (KeyError, ValueError, RuntimeError, OSError) as error:
            raise DamagedFileError(f"Call {call} in {source.path} is damaged: {error}") from error

    def rows(self, calls: range) -> tuple[Array, dict[int, Exception]]:
        """Read the rows of consecutive calls, file by file.

        Returns
        -------
        rows : numpy.ndarray
            Laid out as the stacked dataset; rows that cannot be read hold the fill value.
        absent : dict of int to Exception
            The reason for each call whose file is missing or damaged.
        """
        longest = 0 if self.facts.lengths is None else int(self.facts.lengths.max(initial=0))
        stacked = blank_rows(self.slots, len(calls), longest)
        absent: dict[int, Exception] = {}
        for file, held in self.sources:
            wanted = range(max(held.start, calls.start), min(held.stop, calls.stop))
            if not wanted:
                continue
            try:
                opened = self.opened(file)
                rows = opened.checked_rows(wanted)
            except (OSError, MissingCallError) as error:
                absent |= dict.fromkeys(wanted, error)
                continue
            where = [slice(0, n) for n in rows.shape]
            where[self.slots.stacking_axis] = slice(
                wanted.start - calls.start, wanted.stop - calls.start
            )
            stacked[tuple(where)] = rows
        return from_stored(stacked, self.slots), absent

    def stack(self, index: int, calls: range, missing: str) -> Array | None:
        """Read the first return value of several calls, file by file; see `Source.stack`."""
        if index:
            return None
        rows, absent = self.rows(calls)
        # A row in an intact file is a fill value if its call failed: the status decides.
        status = self.table.status[calls.start : calls.stop]
        for at in np.flatnonzero(status != DONE):
            reason = f"call {calls[at]} is on record as {STATUS_NAMES[status[at]]}."
            absent.setdefault(calls[at], MissingCallError(reason))
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
        """Check every byte of the source files, then find out which rows have changed."""
        problems = []
        for file in dict.fromkeys(file for file, _ in self.sources):
            calls = [call for held, span in self.sources if held == file for call in span]
            done = [call for call in calls if self.table.status[call] == DONE]
            path = self.source_path(file)
            try:
                # `verify` has checked the container itself already.
                if path != self.path:
                    read_header(path, check="all")
            except (AcmeIOError, OSError) as error:
                rows = self._changed_rows(file, done)
                problems.append(Problem(rows or done, str(error)))
                continue
            rows = self._changed_rows(file, done)
            if rows:
                problems.append(Problem(rows, f"Rows in {path} have changed."))
        return problems

    def _changed_rows(self, file: str, done: list[int]) -> list[int]:
        """Return the calls whose rows in a file differ from their checksums."""
        doubtful = done
        if done and self.slots.varying_axis is None:
            with contextlib.suppress(AcmeIOError, OSError):
                doubtful = self._doubtful(self.opened(file), done)
        return [call for call in doubtful if not self._row_is_intact(call)]

    def _doubtful(self, source: StackedFile, done: list[int]) -> list[int]:
        """Return the calls that need a closer look than a checksum of their row.

        Loading a call takes 40 µs; the checksum of a short row less than one.
        """
        found: list[int] = []
        axis = self.slots.stacking_axis
        row_bytes = int(np.prod(self.slots.full_shape(1, 0))) * self.slots.dtype.itemsize
        step = max(_PIECE // max(row_bytes, 1), 1)
        for start in range(done[0], done[-1] + 1, step):
            calls = range(start, min(start + step, done[-1] + 1))
            content = as_bytes(np.moveaxis(source.rows(calls), axis, 0))
            size = len(content) // len(calls)
            own = np.array(
                [checksum(content[at * size : (at + 1) * size]) for at in range(len(calls))], "<u8"
            )
            known = self.table.checksum[calls.start : calls.stop]
            # The high bits belong to further return values.
            other = (own != known) & (self.table.status[calls.start : calls.stop] == DONE)
            found += (np.flatnonzero(other) + calls.start).tolist()
        return sorted(set(found).intersection(done)) if found else found

    def _row_is_intact(self, call: int) -> bool:
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
        """Close the open source file, if any."""
        if self._open is not None:
            self._open[1].close()
            self._open = None
