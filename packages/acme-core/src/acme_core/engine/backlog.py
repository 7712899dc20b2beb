"""The calls that are not in flight: new ones, retries, and suspects.

A worker that dies takes the batch that it runs and the batches in its queue with it. Any of their
calls may be the culprit, so all are *suspects*: they are cut up and run again, with at most one
batch per worker in flight, until the culprit is alone. It fails for good after `MOST_DEATHS`
workers that had nothing else to do; its neighbours get their results.
"""

from __future__ import annotations

import logging
import time
from array import array
from collections import deque
from collections.abc import Sequence
from typing import Any

from acme_core.arguments.distribution import Distribution
from acme_core.arguments.grid import AxisItems
from acme_core.arguments.rows import RowItems
from acme_core.engine.batch_sizing import LARGEST
from acme_core.engine.batches import PendingBatch
from acme_core.errors import WorkerDiedError
from acme_core.transport import serialization
from acme_core.transport.crossed_values import CrossedArrays, CrossedColumn
from acme_core.transport.large_objects import LargeObjects
from acme_core.transport.protocol import BatchOutcome
from acme_core.transport.row_columns import freeze_rows
from acme_core.worker.call_arguments import first_items
from acme_core.worker.failures import describe

__all__ = ["Backlog"]

logger = logging.getLogger(__name__)

MOST_DEATHS = 2
"""Worker deaths after which a call that ran alone fails; one alone may have another reason."""

PIECES_OF_A_LOST_BATCH = 16
"""Pieces into which a lost batch is cut: 50 000 calls are single ones after four deaths."""

LARGEST_BATCH = 32 * 1024 * 1024
"""Bytes of arguments per batch.

Without it, 30 000 items of 80 kB made the client grow by 1.4 GB.
"""


class Backlog:
    """Cuts pending calls into batches, and takes back the calls of batches that did not finish.

    Parameters
    ----------
    distribution : Distribution
        The arguments; items are read when their batch is made.
    large_objects : LargeObjects
        Transports large arguments.
    pending : sequence of range
        The calls to run, in order.
    retries : int
        Number of further attempts for a failed call.
    """

    def __init__(
        self,
        distribution: Distribution,
        large_objects: LargeObjects,
        pending: Sequence[range],
        retries: int,
    ) -> None:
        self._distribution = distribution
        self._large_objects = large_objects
        self._crossed = CrossedArrays(large_objects, distribution.n_calls)
        self._retries = retries
        self._new = deque(pending)
        self._n_new = sum(map(len, pending))
        # Batches keep the items of their arguments: those of an iterator cannot be read again.
        self._again: deque[PendingBatch] = deque()
        self._suspects: deque[PendingBatch] = deque()
        self._most_by_size = LARGEST

    @property
    def n_calls(self) -> int:
        """Number of calls that are not in flight."""
        return self._n_new + sum(b.n_calls for b in (*self._again, *self._suspects))

    @property
    def has_suspects(self) -> bool:
        """Whether some calls were at a worker when it died."""
        return bool(self._suspects)

    # -- taking batches out ----------------------------------------------------------------

    def next_suspect(self) -> PendingBatch:
        """Remove and return a batch of suspects."""
        return self._suspects.popleft()

    def next_batch(self, size: int) -> PendingBatch:
        """Remove and return a batch of at most ``size`` calls; some must be no suspects."""
        size = min(size, self._most_by_size)
        # Retries first: kept for the end, a failing call would find the other workers idle.
        if self._again:
            batch = self._again.popleft()
            if batch.n_calls > size:
                self._again.appendleft(batch.part(size, batch.n_calls))
                batch = batch.part(0, size)
            return batch
        calls = self._new.popleft()
        if len(calls) > size:
            self._new.appendleft(calls[size:])
            calls = calls[:size]
        self._n_new -= len(calls)
        columns = tuple(
            self._frozen(place, items)
            for place, items in enumerate(self._distribution.columns(calls.start, calls.stop))
        )
        batch = PendingBatch(calls.start, columns, len(calls))
        # The size of items is known only once a batch exists; the first one has four calls at most.
        self._most_by_size = max(1, LARGEST_BATCH * len(calls) // max(1, batch.nbytes))
        return batch

    def _frozen(self, argument: int, items: Any) -> Any:
        """Pack the items of a batch for the distributed argument of this index."""
        if isinstance(items, AxisItems):
            return self._crossed.freeze(argument, items)
        if isinstance(items, RowItems):
            return freeze_rows(items, self._large_objects.save)
        return serialization.freeze_column(items, self._large_objects.save)

    # -- taking batches back ---------------------------------------------------------------

    def put_back(self, batch: PendingBatch, *, as_next: bool = False) -> None:
        """Take back a batch to run it again, before all others if ``as_next``."""
        if not batch.n_calls:
            return
        if as_next:
            self._again.appendleft(batch)
        else:
            self._again.append(batch)

    def settle(
        self, batch: PendingBatch, outcome: BatchOutcome, *, ended: bool = True
    ) -> tuple[PendingBatch, set[int]]:
        """Take back failed calls to retry and, from a batch that has ended, what it did not reach.

        Parameters
        ----------
        batch : PendingBatch
            The calls that were not reported before.
        outcome : BatchOutcome
            The outcome of the first of them.
        ended : bool
            Whether the batch reports nothing more.

        Returns
        -------
        rest : PendingBatch
            The calls that are still to be reported.
        again : set of int
            The failed calls to retry.
        """
        if outcome.first > batch.first:  # a report was lost with its connection, or its file
            gap = min(outcome.first - batch.first, batch.n_calls)
            self._again.append(batch.part(0, gap))
            batch = batch.part(gap, batch.n_calls)
        # Below 0 if dask repeats a batch whose worker is gone: its first calls are reported twice.
        n_reported = outcome.first + outcome.n_calls - batch.first
        n_reported = min(max(0, n_reported), batch.n_calls)
        rest = batch.part(n_reported, batch.n_calls)
        again = set[int]()
        if batch.attempt <= self._retries:
            again = {call for call in outcome.failures if 0 <= call - batch.first < n_reported}
        # Each retry is a separate batch, because `attempt` counts per batch.
        for place in sorted(call - batch.first for call in again):
            once_more = batch.part(
                place, place + 1, attempt=batch.attempt + 1, suspect=False, deaths=0
            )
            self._again.append(once_more)
        self._release(batch, n_reported, again)
        # A batch ends with the call during which its time is over.
        if ended and rest.n_calls:
            (self._suspects if batch.suspect else self._again).append(rest)
        return rest, again

    def split_lost(self, batch: PendingBatch, error: BaseException) -> BatchOutcome | None:
        """Take back the calls of a dead worker as suspects, in small pieces.

        Returns
        -------
        BatchOutcome or None
            The failure of the call, if it is not tried again.
        """
        if not batch.n_calls:  # all were reported or taken back
            return None
        # Deaths count only for a suspect by itself: no other batch was at its worker then.
        alone = batch.suspect and batch.n_calls == 1
        deaths = batch.deaths + 1 if alone else 0
        if deaths >= MOST_DEATHS:
            outcome = self._failure(batch, error)
            self._release(batch, 1, set())
            return outcome
        step = -(-batch.n_calls // PIECES_OF_A_LOST_BATCH)
        for start in range(0, batch.n_calls, step):
            stop = min(start + step, batch.n_calls)
            self._suspects.append(batch.part(start, stop, suspect=True, deaths=deaths))
        logger.debug(
            f"<ParallelMap> DEBUG: a worker died with {batch.n_calls} calls, starting at call "
            f"{batch.first}; they run again ({error})"
        )
        return None

    def _failure(self, batch: PendingBatch, error: BaseException) -> BatchOutcome:
        """Return the outcome of a call that ended too many workers."""
        # One sentence: dask's others point to logs of the worker, which is gone.
        dask_says, _, _ = str(error).partition(". ")
        # dask itself repeats a task on clusters that ACME did not start (`allowed-failures`).
        n_deaths = (MOST_DEATHS + 1) * (1 + int(getattr(error, "allowed_failures", 0)))
        reason = WorkerDiedError(
            f"call {batch.first} ended its worker process {n_deaths} times and is not tried "
            "again. Usual reasons are too little memory (set mem_per_worker) and crashes in "
            "compiled code; compute(debug=True) runs the call in this process.\n"
            f"dask says: {dask_says.rstrip('.')}."
        )
        # The worker can no longer report the arguments; the client still has them.
        items = first_items(batch.columns)
        names = self._distribution.template.distributed_names
        arguments = {} if items is None else dict(zip(names, items, strict=True))
        return BatchOutcome(
            first=batch.first,
            n_calls=1,
            started=array("d", [time.time()]),
            seconds=array("d", [0.0]),
            peak_memory=array("q", [0]),
            failures={batch.first: describe(reason, arguments)},
            values=[None],
        )

    def _release(self, batch: PendingBatch, n_calls: int, again: set[int]) -> None:
        """Remove the files of large arguments of the first calls, but those to run again."""
        for column in batch.columns:
            crossed = isinstance(column, CrossedColumn)
            release = self._crossed.release if crossed else self._large_objects.release
            for index, path in getattr(column, "paths", ()):
                if index < n_calls and batch.first + index not in again:
                    release(path)
