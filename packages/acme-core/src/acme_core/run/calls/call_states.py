"""The state of each call of a run, and the list of results that `compute` returns."""

from __future__ import annotations

import logging
from collections.abc import Set
from typing import TYPE_CHECKING, Any

import numpy as np

from acme_core.run.calls.pickled_results import PickledResults
from acme_core.transport.protocol import BatchOutcome, CallFailure
from acme_core.transport.serialization import unpacked
from acme_core.worker.failures import exception_of
from acme_io.backend import DONE, FAILED, MISSING, PICKLED, Failure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from acme_core.run.calls.ended_calls import EndedCalls
    from acme_io import Slots
    from acme_io.backend import CallTable, RunStore

logger = logging.getLogger(__name__)

# Exceptions to keep. One becomes the cause of `ComputeError`, but the exception of a call that
# succeeds in a later attempt is dropped, and the next one takes its place.
_KEPT_EXCEPTIONS = 100


class CallStates:
    """The state of each call of one run, its failure if it failed, and its value if kept in memory.

    Parameters
    ----------
    n_calls : int
        Number of calls.
    store : acme_io.backend.RunStore or None
        The files of the run; `None` for results in memory.
    slots : acme_io.Slots or None
        How to stack values in memory.
    ended : EndedCalls or None
        Takes the calls that end, with their values; `None` keeps values in memory.

    Attributes
    ----------
    failures : dict of int to acme_io.backend.Failure
        The failed calls.
    """

    def __init__(
        self,
        n_calls: int,
        store: RunStore | None,
        slots: Slots | None,
        ended: EndedCalls | None = None,
    ) -> None:
        # With files, the store and this class share one table: receipts fill in the stored results,
        # this class fills in times and states. Without, nobody reads times.
        self._table = None if store is None else store.table
        self._status = np.zeros(n_calls, "u1") if self._table is None else self._table.status
        self.failures = {} if self._table is None else self._table.failures
        self._store = store
        self._slots = slots
        self._ended = ended
        in_memory = store is None and ended is None
        self._values: list[Any] | None = [None] * n_calls if in_memory else None
        # Worker addresses are stored once: the table holds an index per call.
        workers = [] if self._table is None else self._table.workers
        self._workers = {worker: i for i, worker in enumerate(workers)}
        self._texts: dict[str, str] = {}
        self._exceptions: dict[int, CallFailure] = {}
        self._pickled = PickledResults(n_calls)

    @property
    def n_done(self) -> int:
        """Number of calls with a result."""
        return _n_with_result(self._status)

    def done(self) -> NDArray[Any]:
        """Return the calls with a result, in order."""
        return np.flatnonzero(np.isin(self._status, (DONE, PICKLED)))

    def pending(self) -> list[range]:
        """Return the calls without a result, as ranges in order."""
        missing = ~np.isin(self._status, (DONE, PICKLED))
        # Where a stretch begins and ends, in turn. No list of the calls: there may be millions.
        edges = np.flatnonzero(np.diff(missing, prepend=False, append=False))
        return [range(start, stop) for start, stop in edges.reshape(-1, 2).tolist()]

    @property
    def all_ended(self) -> bool:
        """Whether each call has a result or has failed."""
        return bool((self._status != MISSING).all())

    @property
    def cause(self) -> BaseException | None:
        """The exception of the first failed call that was reported; `None` if no call failed."""
        for failure in self._exceptions.values():
            return exception_of(failure)
        for record in self.failures.values():
            return exception_of(CallFailure(record, None))
        return None

    def accept(self, outcome: BatchOutcome, again: Set[int] = frozenset()) -> tuple[int, int]:
        """Record the outcome of a batch.

        Parameters
        ----------
        outcome : BatchOutcome
            The outcome.
        again : set of int
            Its failed calls that will be tried again.

        Returns
        -------
        done, failed : int
            Number of its calls with a new result, and number of failed calls.
        """
        # Slices of columns, not a loop over calls: a batch may hold 50 000.
        first, n_calls, status = outcome.first, outcome.n_calls, self._status
        part = slice(first, first + n_calls)
        # dask repeats a batch whose worker is gone (elsewhere than on ACME's clusters), also the
        # calls that were reported before.
        n_before = _n_with_result(status[part])
        if outcome.receipt is not None and self._store is not None:
            self._store.accept(outcome.receipt)
            self._pickled.note(outcome.receipt.notes)
        else:
            status[part] = DONE
        if self._values is not None and outcome.values is not None:
            self._values[part] = outcome.values
            for call, item in outcome.frozen.items():
                self._values[call] = unpacked(item)
        if self._table is not None:
            self._measure(self._table, part, outcome)
        # A retried call may succeed now. Mostly no call failed, and there is nothing to look up.
        for call in range(first, first + n_calls) if self.failures else ():
            self.failures.pop(call, None)
            self._exceptions.pop(call, None)
        for call, failure in outcome.failures.items():
            status[call] = FAILED
            self._record_failure(call, failure)
        if self._ended is not None:
            self._ended.add(outcome, again)
        return n_calls - len(outcome.failures) - n_before, len(outcome.failures)

    def recover_results(self) -> None:
        """Record results on disk whose outcomes never arrived.

        A worker writes a result first and reports it afterwards; a run that ends in between finds
        the file here.
        """
        if self._store is None or self.all_ended:
            return
        self._store.adopt()

    def _measure(self, table: CallTable, part: slice, outcome: BatchOutcome) -> None:
        table.started[part] = outcome.started
        table.seconds[part] = outcome.seconds
        table.peak_memory[part] = outcome.peak_memory
        number = self._workers.setdefault(outcome.worker, len(self._workers))
        if number == len(table.workers):
            table.workers.append(outcome.worker)
        table.worker[part] = number
        table.attempts[part] += 1

    def _record_failure(self, call: int, failure: CallFailure) -> None:
        if failure.exception is not None and len(self._exceptions) < _KEPT_EXCEPTIONS:
            self._exceptions[call] = failure
        # Thousands of calls may fail in the same way; equal texts are stored once.
        kind, message, trace, arguments = failure.record
        kept = self._texts.setdefault
        self.failures[call] = Failure(
            kept(kind, kind), kept(message, message), kept(trace, trace), arguments
        )

    def warn_of_pickles(self) -> None:
        """Warn of the results that became pickles since the last warning, with the reasons."""
        text = self._pickled.summary(self._status == PICKLED)
        if text:
            logger.warning(f"<ParallelMap> WARNING: {text}")

    def results(self) -> list[Any] | None:
        """Return the list that `compute` returns: values in memory, or file names.

        `None` if the calls were taken as they ended.
        """
        if self._ended is not None:
            return None
        if self._store is not None:
            return list(self._store.payload_files())
        assert self._values is not None
        if self._slots is None:
            return self._values
        rows = [None if value is None else value[0] for value in self._values]
        others = [[] if value is None else list(value[1]) for value in self._values]
        stacked = self._slots.stack(rows)[0]
        return [stacked, *others] if any(others) else [stacked]


def _n_with_result(status: np.ndarray[Any, Any]) -> int:
    return int(np.count_nonzero((status == DONE) | (status == PICKLED)))
