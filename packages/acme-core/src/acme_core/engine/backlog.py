"""The calls that are in no batch on its way: not begun, to be tried again, or under suspicion.

A worker that dies takes down the batches that were queued there with the one that it was running.
They are cut up and run again with at most one batch per worker in flight, so that a call which
ends its worker is found; it is given up after `MOST_DEATHS` workers that had nothing else to do.
"""

from __future__ import annotations

import logging
import time
from array import array
from collections import deque
from collections.abc import Sequence

from acme_core.arguments.distribution import Distribution
from acme_core.engine.batch_sizing import LARGEST
from acme_core.engine.batches import PendingBatch
from acme_core.errors import WorkerDiedError
from acme_core.transport import serialization
from acme_core.transport.large_objects import LargeObjects
from acme_core.transport.mapped_arrays import MappedArray
from acme_core.transport.protocol import BatchOutcome
from acme_core.worker.evaluation import UnreadableArguments, rows_of
from acme_core.worker.failures import describe

__all__ = ["Backlog"]

logger = logging.getLogger(__name__)

MOST_DEATHS = 2
PIECES_OF_A_DEAD_BATCH = 16
LARGEST_BATCH = 32 * 1024 * 1024
"""Bytes of arguments that travel together, beyond which batches get no longer."""


class Backlog:
    """Cuts calls into batches, and takes back what became of none.

    Parameters
    ----------
    distribution : Distribution
        The arguments; items are drawn when their batch is.
    large_objects : LargeObjects
        Takes large arguments.
    pending : sequence of range
        The calls that are to run, in order.
    retries : int
        How often a failed call is tried again.
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
        self._retries = retries
        self._todo = deque(pending)
        self._n_todo = sum(map(len, pending))
        self._again: deque[PendingBatch] = deque()
        self._suspects: deque[PendingBatch] = deque()
        self._most_by_size = LARGEST

    @property
    def n_calls(self) -> int:
        """Number of calls."""
        return self._n_todo + sum(b.n_calls for b in (*self._again, *self._suspects))

    @property
    def has_suspects(self) -> bool:
        """Whether some of them were with a worker when it died."""
        return bool(self._suspects)

    # -- out -------------------------------------------------------------------------------

    def next_suspect(self) -> PendingBatch:
        """Take out a batch that was with a worker when it died."""
        return self._suspects.popleft()

    def next_batch(self, size: int) -> PendingBatch:
        """Take out a batch of at most so many calls, as long as there is any beyond suspects."""
        size = min(size, self._most_by_size)
        if self._again:
            batch = self._again.popleft()
            if batch.n_calls > size:
                self._again.appendleft(batch.part(size, batch.n_calls))
                batch = batch.part(0, size)
            return batch
        calls = self._todo.popleft()
        if len(calls) > size:
            self._todo.appendleft(calls[size:])
            calls = calls[:size]
        self._n_todo -= len(calls)
        columns = tuple(
            serialization.freeze_column(items, self._large_objects.save)
            for items in self._distribution.columns(calls.start, calls.stop)
        )
        batch = PendingBatch(calls.start, columns, len(calls))
        self._most_by_size = max(1, LARGEST_BATCH * len(calls) // max(1, batch.nbytes))
        return batch

    # -- back ------------------------------------------------------------------------------

    def put_back(self, batch: PendingBatch, *, as_next: bool = False) -> None:
        """Take back a batch that is to run again as it is."""
        if as_next:
            self._again.appendleft(batch)
        else:
            self._again.append(batch)

    def settle(self, batch: PendingBatch, outcome: BatchOutcome) -> set[int]:
        """Take back what a batch did not get to, and its failed calls that have another try.

        Returns
        -------
        set of int
            These calls.
        """
        if outcome.n_calls < batch.n_calls:
            rest = batch.part(outcome.n_calls, batch.n_calls)
            (self._suspects if batch.suspect else self._again).append(rest)
        again = set(outcome.failures) if batch.attempt <= self._retries else set()
        for place in sorted(call - batch.first for call in again):
            once_more = batch.part(
                place, place + 1, attempt=batch.attempt + 1, suspect=False, deaths=0
            )
            self._again.append(once_more)
        self._release(batch.part(0, outcome.n_calls), again)
        return again

    def split_lost(self, batch: PendingBatch, error: BaseException) -> BatchOutcome | None:
        """Take back the calls of a dead worker, in small pieces.

        Returns
        -------
        BatchOutcome or None
            The failure of a call that is given up.
        """
        alone = batch.suspect and batch.n_calls == 1
        deaths = batch.deaths + 1 if alone else 0
        if deaths >= MOST_DEATHS:
            outcome = self._given_up(batch, error)
            self._release(batch, set())
            return outcome
        step = -(-batch.n_calls // PIECES_OF_A_DEAD_BATCH)
        for start in range(0, batch.n_calls, step):
            stop = min(start + step, batch.n_calls)
            self._suspects.append(batch.part(start, stop, suspect=True, deaths=deaths))
        logger.debug(
            f"<ParallelMap> DEBUG: a worker died with {batch.n_calls} calls, from call "
            f"{batch.first} on; they run again ({error})"
        )
        return None

    def _given_up(self, batch: PendingBatch, error: BaseException) -> BatchOutcome:
        """Return the failure of a call that has ended too many workers."""
        # One sentence: the others are about logs of the worker, which is gone.
        dask_says, _, _ = str(error).partition(". ")
        reason = WorkerDiedError(
            f"call {batch.first} ended its worker process {MOST_DEATHS + 1} times and is given up. "
            "Usual reasons are too little memory (give mem_per_worker) and crashes in compiled "
            f"code; compute(debug=True) runs the call in this process.\n"
            f"dask says: {dask_says.rstrip('.')}."
        )
        (row,) = rows_of(batch.columns, 1)
        names = self._distribution.template.distributed_names
        arguments = (
            {} if isinstance(row, UnreadableArguments) else dict(zip(names, row, strict=True))
        )
        return BatchOutcome(
            first=batch.first,
            n_calls=1,
            started=array("d", [time.time()]),
            seconds=array("d", [0.0]),
            peak_memory=array("q", [0]),
            failures={batch.first: describe(reason, arguments)},
            values=[None],
        )

    def _release(self, batch: PendingBatch, again: set[int]) -> None:
        """Remove the files of large arguments that no call needs any more."""
        for column in batch.columns:
            if isinstance(column, serialization.FrozenColumn):
                for call, item in enumerate(column.packed, batch.first):
                    if isinstance(item, MappedArray) and call not in again:
                        self._large_objects.release(item.path)
