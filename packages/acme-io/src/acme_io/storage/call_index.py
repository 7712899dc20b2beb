"""Where the result of each call lies, beside the table that says how each call went."""

from array import array
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from acme_io import layout
from acme_io.records.call_table import CallTable
from acme_io.records.status import DONE, MISSING
from acme_io.storage.sink import BatchReceipt

__all__ = ["CallIndex", "Stretch", "calls_of"]


class Stretch(NamedTuple):
    """Consecutive calls whose results lie in one file; `file` is None where they have none."""

    file: str | None
    calls: range


class CallIndex:
    """File, row length and further values of each call; the table has its status and checksum.

    Parameters
    ----------
    table : CallTable
        One row per call. Receipts change its status and checksums; the program that runs the calls
        fills in times, memory and workers.

    Attributes
    ----------
    files : list of (str or None)
        Path of each call's file relative to the output directory, with forward slashes.
    lengths : array of int64
        Length of each row along the varying axis.
    extras : bytearray
        1 for calls that have values beside their row in the stacked dataset.
    longest : dict of str to int
        Longest row of each file whose rows differ in length.
    superseded : set of str
        Files that results of a later evaluation have replaced.
    """

    def __init__(self, table: CallTable) -> None:
        n_calls = len(table)
        self.table, self.n_calls = table, n_calls
        self.files: list[str | None] = [None] * n_calls
        # Columns of numbers, not lists: there may be millions of calls.
        self.lengths = array("q", bytes(8 * n_calls))
        self.extras = bytearray(n_calls)
        self.longest: dict[str, int] = {}
        self.superseded: set[str] = set()
        self._n_accepted = np.zeros(n_calls, "<u4")

    def accept(self, receipt: BatchReceipt) -> list[int]:
        """Take a receipt, in place of earlier ones of the same calls; return the calls it changes.

        A call that the receipt says nothing of stays as it is.
        """
        status = np.frombuffer(receipt.status, "u1")
        changed: list[int] = (np.flatnonzero(status != MISSING) + receipt.calls.start).tolist()
        if not changed:
            return changed
        at = np.asarray(changed) - receipt.calls.start
        self.table.status[changed] = status[at]
        self.table.checksum[changed] = np.array(receipt.checksums, "<u8")[at]
        self._n_accepted[changed] += 1
        for position, call in zip(at.tolist(), changed, strict=True):
            file = receipt.files if isinstance(receipt.files, str) else receipt.files[position]
            if receipt.lengths:
                self.lengths[call] = receipt.lengths[position]
            if receipt.extras:
                self.extras[call] = receipt.extras[position]
            if file is not None and receipt.status[position] == DONE:
                self.longest[file] = max(self.longest.get(file, 0), self.lengths[call])
            self._replace(call, file)
        return changed

    def _replace(self, call: int, file: str | None) -> None:
        former = self.files[call]
        if former is not None and former != file:
            self.superseded.add(former)
        self.files[call] = file

    def move(self, calls: range, before: "CallIndex", file: str) -> None:
        """Note that rows now lie in another file, except those that came in since `before`."""
        self.longest[file] = before.longest_row(calls)
        for call in calls:
            had_row = before.table.status[call] == DONE and before.files[call] is not None
            if had_row and self._n_accepted[call] == before._n_accepted[call]:
                self._replace(call, file)

    def adopt(self, other: "CallIndex", calls: list[int]) -> None:
        """Take over everything that another index and its table know of these calls."""
        self.table.adopt(other.table, calls)
        for call in calls:
            file = other.files[call]
            if file is not None:
                self.longest[file] = max(self.longest.get(file, 0), other.longest.get(file, 0))
            self.lengths[call], self.extras[call] = other.lengths[call], other.extras[call]
            self._n_accepted[call] += 1
            self._replace(call, file)

    def forget(self, calls: Iterable[int]) -> None:
        """Forget calls that are to run again, their rows of the table included."""
        self.table.clear(calls := list(calls))
        for call in calls:
            self.files[call], self.extras[call], self.lengths[call] = None, 0, 0

    def longest_row(self, calls: range) -> int:
        """Return the longest length along the varying axis among these calls."""
        status = self.table.status
        return max((self.lengths[call] for call in calls if status[call] == DONE), default=0)

    def snapshot(self) -> "CallIndex":
        """Return a copy that stays as it is while receipts come in."""
        twin = CallIndex(self.table.copy())
        twin.files, twin.lengths, twin.extras = list(self.files), self.lengths[:], self.extras[:]
        twin.longest, twin._n_accepted = dict(self.longest), self._n_accepted.copy()
        return twin

    def unused(self) -> set[str]:
        """Return the files that hold nothing of use any more."""
        return self.superseded - set(self.files)

    def stretches(self, calls: range) -> Iterator[Stretch]:
        """Cut calls into runs of the same file; pickled and failed calls have no row in any."""
        start = calls.start
        while start < calls.stop:
            file, end = self._row_file(start), start + 1
            while end < calls.stop and self._row_file(end) == file:
                end += 1
            yield Stretch(file, range(start, end))
            start = end

    def _row_file(self, call: int) -> str | None:
        return self.files[call] if self.table.status[call] == DONE else None

    def row_files(self, calls: range) -> set[str]:
        """Return the files that hold rows of these calls."""
        return {file for call in calls if (file := self._row_file(call)) is not None}


def calls_of(file: str) -> range:
    """Read the calls of a batch file from its name; acme-io has just read or written it."""
    parsed = layout.parse_payload_name(file.rpartition("/")[2])
    if parsed is None:
        raise ValueError(f"{file!r} is not the name of a payload.")
    return parsed.calls
