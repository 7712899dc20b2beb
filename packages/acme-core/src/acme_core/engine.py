"""Runs all calls of one run on the workers of a dask client.

::

    to do: ranges of calls ──cut──▶ batches ──window──▶ dask tasks ──events──▶ outcomes
       ▲                                                                │
       └── not reached in time, to be retried, from a dead worker ◀─────┘

At most two batches per worker are in flight; each that comes back makes room for the next. So
the memory of client and scheduler does not grow with the number of calls, and nothing looks
through all futures. Every task has a key of its own: equal calls are never merged.

A worker that dies takes down the batches that were queued there with the one that it was running.
They are cut up and run again with at most one batch per worker in flight, so that a call which
ends its worker is found; it is given up after `MOST_DEATHS` workers that had nothing else to do.
"""

from __future__ import annotations

import itertools
import logging
import pickle
import queue
import time
from array import array
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from acme_core import transport
from acme_core.distribution import Distribution
from acme_core.errors import WorkerDiedError
from acme_core.failures import describe, exception_of
from acme_core.handover import Handover, Parcel
from acme_core.mapped import MappedArray
from acme_core.orders import BatchOrder, BatchOutcome, RunTicket
from acme_core.sizing import LARGEST, BatchSizer
from acme_core.worker import run_batch

if TYPE_CHECKING:
    from distributed import Client
    from distributed import Future as DaskFuture

    Future = DaskFuture[Any]

logger = logging.getLogger(__name__)

BATCHES_PER_WORKER = 2
MOST_DEATHS = 2
PIECES_OF_A_DEAD_BATCH = 16
LARGEST_BATCH = 32 * 1024 * 1024
"""Bytes of arguments that travel together, beyond which batches get no longer."""
_REFRESH_SECONDS = 1.0
_NO_WORKERS_REMINDER = 60.0
_LINGER = 0.004


@dataclass(frozen=True)
class _Batch:
    """Calls ``first`` to ``first + n_calls - 1`` and the items of their arguments."""

    first: int
    columns: tuple[Any, ...]
    n_calls: int
    attempt: int = 1
    suspect: bool = False
    deaths: int = 0

    @property
    def nbytes(self) -> int:
        """About how many bytes of arguments travel."""
        return sum(map(transport.column_nbytes, self.columns))

    def part(self, start: int, stop: int, **changes: Any) -> _Batch:
        """Return calls ``start`` to ``stop - 1``, counted from the first of this batch."""
        columns = tuple(column[start:stop] for column in self.columns)
        return replace(
            self, first=self.first + start, columns=columns, n_calls=stop - start, **changes
        )


class Engine:
    """Runs the calls of one run.

    Parameters
    ----------
    client : distributed.Client
        Its workers evaluate the calls.
    ticket : RunTicket
        How they get at the function.
    distribution : Distribution
        The arguments.
    handover : Handover
        Takes large arguments.
    workers : mapping of str to int
        Addresses of the workers that there are now, and their numbers of threads.
    retries : int
        How often a failed call is tried again.
    stop_at_failure : bool
        Whether the first failed call ends the run.
    todo : sequence of range
        The calls that are to run, in order.
    accept : callable
        Gets every outcome, in the order in which they come back, and those of its failed calls
        that will be tried again.
    """

    def __init__(
        self,
        client: Client,
        ticket: RunTicket,
        distribution: Distribution,
        handover: Handover,
        *,
        workers: Mapping[str, int],
        retries: int = 0,
        stop_at_failure: bool = False,
        todo: Sequence[range],
        accept: Callable[[BatchOutcome, set[int]], None],
    ) -> None:
        self._client = client
        self._ticket = ticket
        self._distribution = distribution
        self._handover = handover
        self._retries = retries
        self._stop_at_failure = stop_at_failure
        self._accept = accept
        self._sizer = BatchSizer()
        self._todo = deque(todo)
        self._n_todo = sum(map(len, todo))
        self._again: deque[_Batch] = deque()
        self._suspects: deque[_Batch] = deque()
        self._in_flight: dict[Any, tuple[Future, _Batch, Parcel]] = {}
        self._finished: queue.SimpleQueue[Future] = queue.SimpleQueue()
        self._numbers = itertools.count()
        self._most_by_size = LARGEST
        self._no_workers_since: float | None = None
        self._take_stock(workers)

    def run(self, meanwhile: Callable[[], None] | None = None) -> None:
        """Run all calls; return when each has come to an end.

        Parameters
        ----------
        meanwhile : callable, optional
            Called once, while the workers have the first batches and nothing else is to do.

        Raises
        ------
        Exception
            What kept the workers from working on this run at all, or the client from reading its
            arguments. Failed calls are not raised but reported as outcomes.
        """
        try:
            self._fill_window()
            if meanwhile is not None:
                meanwhile()
            while self._work_left() or self._in_flight:
                self._fill_window()
                if not self._await_some():
                    return
        finally:
            self._cancel()

    def _work_left(self) -> int:
        """Return the number of calls that are in no batch in flight."""
        waiting = sum(b.n_calls for b in (*self._again, *self._suspects))
        return self._n_todo + waiting

    # -- out -------------------------------------------------------------------------------

    def _fill_window(self) -> None:
        while (room := self._window() - len(self._in_flight)) > 0 and self._work_left():
            batches = [self._next_batch()]
            # The next batches may turn the window into another one: suspects travel alone.
            while len(batches) < room and self._work_left() and not self._suspects:
                batches.append(self._next_batch())
            self._submit(batches)

    def _window(self) -> int:
        """Return how many batches may be in flight."""
        if self._suspects or any(batch.suspect for _, batch, _ in self._in_flight.values()):
            return max(1, self._workers)
        return max(1, self._slots) * (1 if self._sizer.long_calls else BATCHES_PER_WORKER)

    def _next_batch(self) -> _Batch:
        if self._suspects:
            return self._suspects.popleft()
        size = min(self._sizer.next_size(self._work_left(), self._slots), self._most_by_size)
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
            transport.frozen_column(items, self._handover.save)
            for items in self._distribution.columns(calls.start, calls.stop)
        )
        batch = _Batch(calls.start, columns, len(calls))
        self._most_by_size = max(1, LARGEST_BATCH * len(calls) // max(1, batch.nbytes))
        return batch

    def _submit(self, batches: list[_Batch]) -> None:
        """Send batches out, in one message."""
        parcels = [self._handover.pack(transport.dumps(batch.columns)) for batch in batches]
        orders = [
            pickle.dumps(BatchOrder(self._ticket, b.first, b.n_calls, b.attempt, parcel))
            for b, parcel in zip(batches, parcels, strict=True)
        ]
        keys = [(f"acme-{self._ticket.run_id}", next(self._numbers)) for _ in batches]
        futures = self._client.map(run_batch, orders, key=keys, pure=False)
        for future, batch, parcel in zip(futures, batches, parcels, strict=True):
            self._in_flight[future.key] = (future, batch, parcel)
            future.add_done_callback(self._finished.put)

    # -- back ------------------------------------------------------------------------------

    def _await_some(self) -> bool:
        """Wait for outcomes and handle them; `False` when the run ends early."""
        futures = self._finished_futures()
        self._refresh_slots()
        for future, pickled in self._gathered(futures):
            _, batch, parcel = self._in_flight.pop(future.key)
            self._handover.release(parcel)
            if not self._handle(batch, pickle.loads(pickled)):
                return False
        for future in futures:
            if future.key in self._in_flight:
                self._handle_lost(future)
        return True

    def _gathered(self, futures: list[Future]) -> list[tuple[Future, bytes]]:
        """Fetch the outcomes that there are; a worker may die with one that it had finished."""
        done = [f for f in futures if f.status == "finished" and f.key in self._in_flight]
        try:
            return list(zip(done, self._client.gather(done), strict=True))
        except Exception as error:
            logger.debug(f"<ParallelMap> DEBUG: outcomes are fetched one by one ({error!r})")
        gathered = []
        for future in done:
            if future.exception() is None:
                gathered.append((future, future.result()))
        return gathered

    def _finished_futures(self) -> list[Future]:
        try:
            futures = [self._finished.get(timeout=_REFRESH_SECONDS)]
        except queue.Empty:
            return []
        while len(futures) < len(self._in_flight):
            # Where nothing waits for room in the window, outcomes are better fetched together.
            linger = 0 if self._work_left() else _LINGER
            try:
                futures.append(self._finished.get(block=linger > 0, timeout=linger))
            except queue.Empty:
                break
        return futures

    def _handle(self, batch: _Batch, outcome: BatchOutcome) -> bool:
        if outcome.broken is not None:
            self._again.append(batch)
            raise exception_of(outcome.broken)
        self._sizer.observe(outcome.n_calls, outcome.wall_seconds)
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
        self._accept(outcome, again)
        return not (self._stop_at_failure and outcome.failures.keys() - again)

    def _release(self, batch: _Batch, again: set[int]) -> None:
        """Remove the files of large arguments that no call needs any more."""
        for column in batch.columns:
            if isinstance(column, transport.FrozenColumn):
                for call, item in enumerate(column.packed, batch.first):
                    if isinstance(item, MappedArray) and call not in again:
                        self._handover.release(item.path)

    def _handle_lost(self, future: Future) -> None:
        """Handle a batch that came back without an outcome."""
        from distributed.scheduler import KilledWorker

        _, batch, parcel = self._in_flight.pop(future.key)
        self._handover.release(parcel)
        if future.status in ("lost", "pending"):
            # Its worker died between finishing it and handing over the outcome.
            self._client.cancel([future], force=True)
            self._again.append(batch)
            return
        error = future.exception() if future.status == "error" else None
        if error is None:
            raise ConnectionError(
                f"<ParallelMap> lost the connection to the scheduler of {self._client} "
                f"(a batch came back as {future.status!r}). Finished calls are kept; start the "
                "cluster again and repeat the others."
            )
        if not isinstance(error, KilledWorker):
            raise error
        self._slots_read = 0.0
        self._cut_up(batch, error)

    def _cut_up(self, batch: _Batch, error: BaseException) -> None:
        """Send the calls of a dead worker out again, in small pieces."""
        alone = batch.suspect and batch.n_calls == 1
        deaths = batch.deaths + 1 if alone else 0
        if deaths >= MOST_DEATHS:
            self._release(batch, set())
            self._accept(self._condemned(batch, error), set())
            return
        step = -(-batch.n_calls // PIECES_OF_A_DEAD_BATCH)
        for start in range(0, batch.n_calls, step):
            stop = min(start + step, batch.n_calls)
            self._suspects.append(batch.part(start, stop, suspect=True, deaths=deaths))
        logger.debug(
            f"<ParallelMap> DEBUG: a worker died with {batch.n_calls} calls, from call "
            f"{batch.first} on; they run again ({error})"
        )

    def _condemned(self, batch: _Batch, error: BaseException) -> BatchOutcome:
        reason = WorkerDiedError(
            f"call {batch.first} ended its worker process {MOST_DEATHS + 1} times and is given up. "
            "Usual reasons are too little memory (give mem_per_worker) and crashes in compiled "
            f"code; compute(debug=True) runs the call in this process. dask says: {error}"
        )
        return BatchOutcome(
            first=batch.first,
            n_calls=1,
            started=array("d", [time.time()]),
            seconds=array("d", [0.0]),
            peak_memory=array("q", [0]),
            failures={batch.first: describe(reason)},
            values=[None],
        )

    # -- workers ---------------------------------------------------------------------------

    def _refresh_slots(self) -> None:
        if time.monotonic() - self._slots_read >= _REFRESH_SECONDS:
            self._take_stock(self._client.nthreads())

    def _take_stock(self, workers: Mapping[str, int]) -> None:
        self._workers, self._slots = len(workers), sum(workers.values())
        self._slots_read = now = time.monotonic()
        if self._slots:
            self._no_workers_since = None
        elif self._no_workers_since is None:
            self._no_workers_since = now
        elif now - self._no_workers_since > _NO_WORKERS_REMINDER:
            self._no_workers_since = now
            logger.warning(
                "<ParallelMap> WARNING: no worker is left, waiting for new ones. "
                "Ctrl-C ends the run; finished calls are kept."
            )

    def _cancel(self) -> None:
        """Take back what is still out there; its calls are to do again."""
        futures: Sequence[Future] = [future for future, _, _ in self._in_flight.values()]
        self._again.extend(batch for _, batch, _ in self._in_flight.values())
        self._in_flight.clear()
        if futures and self._client.status == "running":
            self._client.cancel(futures, force=True)
