"""The file of each call's result, beside the table with the status of each call."""

from array import array
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from acme_io import layout
from acme_io.records.call_record import DONE, MISSING
from acme_io.records.call_table import CallTable
from acme_io.storage.sink import BatchReceipt

__all__ = ["CallIndex", "Span", "calls_of"]


class Span(NamedTuple):
    """Consecutive calls whose results are in one file; `file` is None if they have none."""

    file: str | None
    calls: range


class CallIndex:
    """File, row length and extra values of each call; status and checksum are in the table.

    Parameters
    ----------
    table : CallTable
        One row per call. Receipts set status and checksum; the program that runs the calls fills
        in times, memory and workers.

    Attributes
    ----------
    files : list of (str or None)
        Path of each call's file, relative to the output directory, with forward slashes.
    lengths : array of int64
        Length of each row along the varying axis.
    extras : bytearray
        1 for calls with further return values beside their row of the stacked dataset.
    arguments : numpy.ndarray of uint64, shape (n_calls,)
        Digest of each call's arguments where it has a file of its own; 0 if unknown.
    longest : dict of str to int
        Longest row of each file with rows of different lengths.
    superseded : set of str
        Files replaced by results of a later evaluation.
    """

    def __init__(self, table: CallTable) -> None:
        n_calls = len(table)
        self.table, self.n_calls = table, n_calls
        self.files: list[str | None] = [None] * n_calls
        # Compact columns instead of lists: a run may have millions of calls, and a list of ints
        # takes 8 bytes per pointer and 28 per object.
        self.lengths = array("q", bytes(8 * n_calls))
        self.extras = bytearray(n_calls)
        self.arguments = np.zeros(n_calls, "<u8")
        self.longest: dict[str, int] = {}
        self.superseded: set[str] = set()
        # Receipts accepted per call; `move` compares two counts to detect a retry in between.
        self._n_accepted = np.zeros(n_calls, "<u4")

    def accept(self, receipt: BatchReceipt) -> list[int]:
        """Apply a receipt, which overrides earlier ones of the same calls.

        Parameters
        ----------
        receipt : BatchReceipt
            The receipt. Calls that it marks as missing stay unchanged.

        Returns
        -------
        list of int
            The changed calls.
        """
        status = np.frombuffer(receipt.status, "u1")
        changed: list[int] = (np.flatnonzero(status != MISSING) + receipt.calls.start).tolist()
        if not changed:
            return changed
        # Whole columns at once: assigning NumPy elements one by one is slow for a million calls.
        at = np.asarray(changed) - receipt.calls.start
        self.table.status[changed] = status[at]
        self.table.checksum[changed] = np.array(receipt.checksums, "<u8")[at]
        if receipt.arguments is not None:
            self.arguments[changed] = np.array(receipt.arguments, "<u8")[at]
        self._n_accepted[changed] += 1
        for position, call in zip(at.tolist(), changed, strict=True):
            file = receipt.files if isinstance(receipt.files, str) else receipt.files[position]
            if receipt.lengths:
                self.lengths[call] = receipt.lengths[position]
                # Only here: with a file per call, this would be an entry per call.
                if file is not None and receipt.status[position] == DONE:
                    self.longest[file] = max(self.longest.get(file, 0), self.lengths[call])
            if receipt.extras:
                self.extras[call] = receipt.extras[position]
            self._replace(call, file)
        return changed

    def _replace(self, call: int, file: str | None) -> None:
        # A superseded file may still hold rows of other calls; `unused` filters those out.
        former = self.files[call]
        if former is not None and former != file:
            self.superseded.add(former)
        self.files[call] = file

    def move(self, calls: range, before: "CallIndex", file: str) -> None:
        """Record the new file of rows that were copied, except rows accepted since `before`.

        Parameters
        ----------
        calls : range
            The copied calls.
        before : CallIndex
            Snapshot of this index from which the copy was made.
        file : str
            The new file.
        """
        self.longest[file] = before.longest_row(calls)
        for call in calls:
            # A retry that arrived during the copy is newer than the copied row.
            had_row = before.table.status[call] == DONE and before.files[call] is not None
            if had_row and self._n_accepted[call] == before._n_accepted[call]:
                self._replace(call, file)

    def adopt(self, other: "CallIndex", calls: list[int]) -> None:
        """Copy the entries of these calls from another index and its table."""
        self.table.adopt(other.table, calls)
        for call in calls:
            file = other.files[call]
            if file is not None:
                self.longest[file] = max(self.longest.get(file, 0), other.longest.get(file, 0))
            self.lengths[call], self.extras[call] = other.lengths[call], other.extras[call]
            self.arguments[call] = other.arguments[call]
            self._n_accepted[call] += 1
            self._replace(call, file)

    def forget(self, calls: Iterable[int]) -> None:
        """Reset calls that will run again, including their rows of the table."""
        self.table.clear(calls := list(calls))
        self.arguments[calls] = 0
        for call in calls:
            self.files[call], self.extras[call], self.lengths[call] = None, 0, 0

    def longest_row(self, calls: range) -> int:
        """Return the greatest length of these calls along the varying axis."""
        status = self.table.status
        return max((self.lengths[call] for call in calls if status[call] == DONE), default=0)

    def snapshot(self) -> "CallIndex":
        """Return an independent copy, unaffected by later receipts."""
        twin = CallIndex(self.table.copy())
        twin.files, twin.lengths, twin.extras = list(self.files), self.lengths[:], self.extras[:]
        twin.longest, twin._n_accepted = dict(self.longest), self._n_accepted.copy()
        return twin

    def unused(self) -> set[str]:
        """Return the superseded files that no call refers to any more."""
        return self.superseded - set(self.files)

    def spans(self, calls: range) -> Iterator[Span]:
        """Group consecutive calls by file; pickled and failed calls have a row in none."""
        start = calls.start
        while start < calls.stop:
            file, end = self._row_file(start), start + 1
            while end < calls.stop and self._row_file(end) == file:
                end += 1
            yield Span(file, range(start, end))
            start = end

    def _row_file(self, call: int) -> str | None:
        return self.files[call] if self.table.status[call] == DONE else None

    def row_files(self, calls: range) -> set[str]:
        """Return the files that hold rows of these calls."""
        return {file for call in calls if (file := self._row_file(call)) is not None}


def calls_of(file: str) -> range:
    """Return the calls of a batch file, from its name."""
    parsed = layout.parse_payload_name(file.rpartition("/")[2])
    if parsed is None:
        raise ValueError(f"{file!r} is not the name of a payload.")
    return parsed.calls
