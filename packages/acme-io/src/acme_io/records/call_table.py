"""One row per call: its status, times, memory, worker, attempts and checksum."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from acme_io.records.call_record import Failure


class CallTable:
    """One row per call: its outcome and costs. The client fills it, the container stores it.

    Parameters
    ----------
    n_calls : int
        Number of calls; every call starts as `MISSING`.

    Attributes
    ----------
    status : numpy.ndarray of uint8, shape (n_calls,)
        `MISSING`, `DONE`, `FAILED` or `PICKLED`.
    started, seconds : numpy.ndarray of float64, shape (n_calls,)
        Start (seconds since 1970, NaN if unknown) and duration in seconds.
    peak_memory : numpy.ndarray of int64, shape (n_calls,)
        Bytes.
    worker : numpy.ndarray of int32, shape (n_calls,)
        Index into `workers`, -1 if unknown.
    attempts : numpy.ndarray of uint16, shape (n_calls,)
        How often the call was evaluated.
    checksum : numpy.ndarray of uint64, shape (n_calls,)
        Checksum of the call's stored result.
    workers : list of str
        Names of the workers.
    failures : dict of int to Failure
        The failed calls.
    """

    # Little-endian everywhere, so that files are the same whatever machine writes them.
    COLUMNS: tuple[tuple[str, str], ...] = (
        ("status", "<u1"),
        ("started", "<f8"),
        ("seconds", "<f8"),
        ("peak_memory", "<i8"),
        ("worker", "<i4"),
        ("attempts", "<u2"),
        ("checksum", "<u8"),
    )

    # Columns instead of an object per call: 39 bytes a call, also for millions of calls.
    def __init__(self, n_calls: int) -> None:
        self.status: np.ndarray[Any, Any] = np.zeros(n_calls, dtype="<u1")
        self.started: np.ndarray[Any, Any] = np.full(n_calls, np.nan, dtype="<f8")
        self.seconds: np.ndarray[Any, Any] = np.full(n_calls, np.nan, dtype="<f8")
        self.peak_memory: np.ndarray[Any, Any] = np.zeros(n_calls, dtype="<i8")
        self.worker: np.ndarray[Any, Any] = np.full(n_calls, -1, dtype="<i4")
        self.attempts: np.ndarray[Any, Any] = np.zeros(n_calls, dtype="<u2")
        self.checksum: np.ndarray[Any, Any] = np.zeros(n_calls, dtype="<u8")
        self.workers: list[str] = []
        self.failures: dict[int, Failure] = {}

    def __len__(self) -> int:
        """Return the number of calls."""
        return len(self.status)

    def copy(self) -> "CallTable":
        """Return an independent copy."""
        twin = CallTable(len(self))
        for name, _ in self.COLUMNS:
            getattr(twin, name)[:] = getattr(self, name)
        twin.workers = list(self.workers)
        twin.failures = dict(self.failures)
        return twin

    def take(self, calls: np.ndarray[Any, Any]) -> "CallTable":
        """Return a table with a row for each of these calls, in their order."""
        some = CallTable(len(calls))
        for name, _ in self.COLUMNS:
            setattr(some, name, getattr(self, name)[calls])
        some.workers = list(self.workers)
        if self.failures:
            known = enumerate(calls.tolist())
            some.failures = {at: self.failures[n] for at, n in known if n in self.failures}
        return some

    def clear(self, calls: Sequence[int]) -> None:
        """Reset the rows of some calls to their state before the run."""
        # Not always zero: unknown times are NaN, an unknown worker is -1.
        blank = CallTable(1)
        for name, _ in self.COLUMNS:
            getattr(self, name)[calls] = getattr(blank, name)[0]
        for call in calls:
            self.failures.pop(call, None)

    def adopt(self, other: "CallTable", calls: Sequence[int]) -> None:
        """Copy the rows of some calls from another table."""
        if not calls:
            return
        for name, _ in self.COLUMNS:
            getattr(self, name)[calls] = getattr(other, name)[calls]
        # `worker` is an index into each table's own list: translate it by name.
        numbers = {worker: number for number, worker in enumerate(self.workers)}
        for call in calls:
            known = other.worker[call]
            if known >= 0:
                worker = other.workers[known]
                self.worker[call] = numbers.setdefault(worker, len(numbers))
            self.failures.pop(call, None)
            if call in other.failures:
                self.failures[call] = other.failures[call]
        self.workers = list(numbers)
