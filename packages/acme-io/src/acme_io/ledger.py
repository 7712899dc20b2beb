"""What a run has written so far: per call its status, its file and its checksum."""

from array import array
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from . import layout
from .record import DONE, FAILED, MISSING, PICKLED, CallTable
from .sinks import BatchReceipt

__all__ = ["Ledger", "Stretch"]


class Stretch(NamedTuple):
    """Consecutive calls whose results lie in one file; `file` None: they have none."""

    file: str | None
    calls: range


class Ledger:
    """Per call: status, file, checksum, attempt, row length.

    Parameters
    ----------
    n_calls : int
        Number of calls of the run.
    """

    def __init__(self, n_calls: int) -> None:
        self.n_calls = n_calls
        self.status = bytearray([MISSING]) * n_calls
        self.files: list[str | None] = [None] * n_calls
        # Columns of numbers, not lists: there may be millions of calls.
        self.checksums = array("Q", bytes(8 * n_calls))
        self.attempts = array("L", bytes(array("L").itemsize * n_calls))
        self.lengths = array("q", bytes(8 * n_calls))
        self.extras = bytearray(n_calls)
        self.longest: dict[str, int] = {}  # of each file with rows of different lengths
        self.superseded: set[str] = set()
        self.entries = array("L", self.attempts)  # counts what was accepted for a call

    def accept(self, receipt: BatchReceipt) -> list[int]:
        """Take a receipt, in place of earlier ones of the same calls; returns what it changes."""
        changed = []
        for at, call in enumerate(receipt.calls):
            status = receipt.status[at]
            if status == MISSING:
                continue
            file = receipt.files if isinstance(receipt.files, str) else receipt.files[at]
            length = receipt.lengths[at] if receipt.lengths else 0
            if file is not None and status == DONE:
                self.longest[file] = max(self.longest.get(file, 0), length)
            self._drop(call, file)
            self.status[call], self.files[call] = status, file
            self.checksums[call], self.lengths[call] = receipt.checksums[at], length
            self.attempts[call] = receipt.attempts[at] if receipt.attempts else 1
            self.extras[call] = receipt.extras[at] if receipt.extras else 0
            self.entries[call] += 1
            changed.append(call)
        return changed

    def _drop(self, call: int, file: str | None) -> None:
        former = self.files[call]
        if former is not None and former != file:
            self.superseded.add(former)

    def move(self, calls: range, before: "Ledger", file: str) -> None:
        """Note that rows now lie in another file, but for those that came in since `before`."""
        self.longest[file] = before.longest_row(calls)
        for call in calls:
            had_row = before.status[call] == DONE and before.files[call] is not None
            if had_row and self.entries[call] == before.entries[call]:
                self._drop(call, file)
                self.files[call] = file

    def adopt(self, other: "Ledger", calls: Iterable[int]) -> None:
        """Take over what another ledger knows of these calls."""
        for call in calls:
            file = other.files[call]
            if file is not None:
                self.longest[file] = max(self.longest.get(file, 0), other.longest.get(file, 0))
            self._drop(call, file)
            self.status[call], self.files[call] = other.status[call], file
            self.checksums[call], self.lengths[call] = other.checksums[call], other.lengths[call]
            self.attempts[call], self.extras[call] = other.attempts[call], other.extras[call]
            self.entries[call] += 1

    def longest_row(self, calls: range) -> int:
        """Longest length along the varying axis among these calls."""
        stored = (self.lengths[call] for call in calls if self.status[call] == DONE)
        return max(stored, default=0)

    def snapshot(self) -> "Ledger":
        """Return a copy that stays as it is while receipts come in."""
        twin = Ledger(0)
        twin.n_calls, twin.status, twin.extras = self.n_calls, self.status[:], self.extras[:]
        twin.files, twin.checksums = list(self.files), self.checksums[:]
        twin.attempts, twin.lengths = self.attempts[:], self.lengths[:]
        twin.longest, twin.entries = dict(self.longest), self.entries[:]
        return twin

    def unused(self) -> set[str]:
        """Files that hold nothing that is still of use."""
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
        return self.files[call] if self.status[call] == DONE else None

    def row_files(self, calls: range) -> set[str]:
        """Files that hold rows of these calls."""
        return {file for call in calls if (file := self._row_file(call)) is not None}

    def completed(self, table: CallTable) -> CallTable:
        """Bring a table in line with what was written: status and checksums of stored results."""
        full = table.copy()
        for call, status in enumerate(self.status):
            if status in (DONE, PICKLED) and full.status[call] != FAILED:
                full.status[call] = status
                full.checksum[call] = self.checksums[call]
            elif status != FAILED and full.status[call] in (DONE, PICKLED):
                full.status[call] = MISSING
        return full


def calls_of(file: str) -> range:
    """Read the calls of a batch file from its name; acme-io has just read or written it."""
    parsed = layout.parse_payload_name(file.rpartition("/")[2])
    if parsed is None:
        raise ValueError(f"{file!r} is not the name of a payload.")
    return parsed.calls
