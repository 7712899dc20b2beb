"""Runs all calls of one run on the workers of a dask client.

::

    to do: ranges of calls ──cut──▶ batches ──window──▶ dask tasks ──events──▶ outcomes
       ▲                                                                │
       └── not reached in time, to be retried, from a dead worker ◀─────┘

At most two batches per worker are in flight; each that comes back makes room for the next. So
the memory of client and scheduler does not grow with the number of calls, and nothing looks
through all futures. Every task has a key of its own: equal calls are never merged. Of many workers
the one that should be free first is chosen here (`load_balancing`); dask gives the batch to another
all the same if that one has gone.

What is in no batch on its way waits in the `backlog`, also the calls of dead workers.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import pickle
import queue
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from acme_core.arguments.distribution import Distribution
from acme_core.engine.backlog import Backlog
from acme_core.engine.batch_sizing import BatchSizer
from acme_core.engine.batches import Assignment, BatchInFlight, PendingBatch
from acme_core.engine.load_balancing import LoadBalancer, prefer_workers
from acme_core.transport import large_objects, serialization
from acme_core.transport.large_objects import LargeObjects
from acme_core.transport.outcome_events import OutcomeInbox
from acme_core.transport.protocol import BatchOutcome, BatchRequest, RunTicket
from acme_core.worker.evaluation import BATCH_SECONDS
from acme_core.worker.failures import exception_of
from acme_core.worker.task import run_batch

if TYPE_CHECKING:
    from distributed import Client
    from distributed import Future as DaskFuture

    Future = DaskFuture[Any]

logger = logging.getLogger(__name__)

BATCHES_PER_WORKER = 2
_REFRESH_SECONDS = 1.0
_NO_WORKERS_REMINDER = 60.0
# Seconds in which many workers begin their first batches; more messages would only delay these.
_BEGINNING = 0.05
_LINGER = 0.004
_MANY_WORKERS = 20
_LAST_WORDS = BATCH_SECONDS + 0.5


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
    large_objects : LargeObjects
        Takes large arguments.
    workers : mapping of str to int
        Addresses of the workers that there are now, and their numbers of threads.
    retries : int
        How often a failed call is tried again.
    stop_at_failure : bool
        Whether the first failed call ends the run.
    pending : sequence of range
        The calls that are to run, in order.
    direct : bool
        Whether this process reaches the workers, and not only their scheduler does.
    accept : callable
        Gets every outcome, in the order in which they come back, and those of its failed calls
        that will be tried again.
    """

    def __init__(
        self,
        client: Client,
        ticket: RunTicket,
        distribution: Distribution,
        large_objects: LargeObjects,
        *,
        workers: Mapping[str, int],
        retries: int = 0,
        stop_at_failure: bool = False,
        pending: Sequence[range],
        direct: bool = False,
        accept: Callable[[BatchOutcome, set[int]], None],
    ) -> None:
        self._client = client
        self._ticket = ticket
        self._large_objects = large_objects
        self._backlog = Backlog(distribution, large_objects, pending, retries)
        self._stop_at_failure = stop_at_failure
        self._direct = direct
        self._accept = accept
        self._sizer = BatchSizer()
        self._in_flight: dict[int, BatchInFlight] = {}
        # Those whose outcome is here before dask knows: let go of earlier, they would be cancelled.
        self._ending: dict[int, Future] = {}
        self._balancer = LoadBalancer()
        self._stranded: set[int] = set()
        self._arrivals: queue.SimpleQueue[Future | tuple[int, bytes]] = queue.SimpleQueue()
        self._numbers = itertools.count()
        self._patience = _REFRESH_SECONDS
        self._no_workers_since: float | None = None
        self._update_workers(workers)

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
        inbox = OutcomeInbox(self._client, self._ticket.run_id, self._receive)
        try:
            self._fill_window()
            if meanwhile is not None:
                meanwhile()
            while self._backlog.n_calls or self._in_flight:
                self._fill_window()
                if not self._await_some():
                    self._take_last()
                    return
        except (KeyboardInterrupt, SystemExit):
            self._take_last()
            raise
        finally:
            inbox.close()
            self._cancel()

    # -- out -------------------------------------------------------------------------------

    def _fill_window(self) -> None:
        nothing_out = not self._in_flight
        while (room := self._room()) > 0 and self._backlog.n_calls:
            batches = [self._next_assignment()]
            # The next batches may turn the window into another one: suspects travel alone.
            while len(batches) < room and self._backlog.n_calls and not self._backlog.has_suspects:
                batches.append(self._next_assignment())
            self._submit(batches)
            if nothing_out and room >= _MANY_WORKERS:
                self._patience = _BEGINNING  # the others follow when these workers are at work
                return

    def _room(self) -> int:
        """Return how many batches are to be sent now: at first one for each of many workers."""
        room = self._window() - len(self._in_flight)
        return room if self._in_flight or room < _MANY_WORKERS else self._slots

    def _window(self) -> int:
        """Return how many batches may be in flight."""
        if self._backlog.has_suspects or any(
            flight.batch.suspect for flight in self._in_flight.values()
        ):
            return max(1, len(self._threads))
        return max(1, self._slots) * (1 if self._sizer.long_calls else BATCHES_PER_WORKER)

    def _next_assignment(self) -> Assignment:
        """Choose a batch, and of many workers the one that gets it."""
        if self._backlog.has_suspects:  # whoever comes next shall take them
            return Assignment(self._backlog.next_suspect(), None)
        if len(self._balancer) < _MANY_WORKERS:
            return Assignment(self._backlog.next_batch(self._next_size(None)), None)
        worker = self._balancer.first_idle(self._sizer.seconds_per_call)
        batch = self._backlog.next_batch(self._next_size(worker))
        self._balancer.assign(worker, batch.n_calls)
        return Assignment(batch, worker)

    def _next_size(self, worker: str | None) -> int:
        """Return how many calls the next batch shall have, one for a certain worker perhaps."""
        remaining, seconds = self._backlog.n_calls, self._sizer.seconds_per_call
        if worker is None or seconds is None or not self._sizer.even:
            return self._sizer.next_size(remaining, self._slots)
        share = self._balancer.fair_share(worker, remaining, seconds)
        return min(self._sizer.even_size(share), remaining)

    def _submit(self, assignments: list[Assignment]) -> None:
        """Send batches out: those with a worker of their choice in one message, others in one."""
        chosen = [assignment for assignment in assignments if assignment.worker is not None]
        others = [assignment for assignment in assignments if assignment.worker is None]
        for part in (chosen, others):
            if part:
                self._send(part)

    def _send(self, assignments: list[Assignment]) -> None:
        batches = [assignment.batch for assignment in assignments]
        parcels = [
            self._large_objects.pack(serialization.dumps(batch.columns)) for batch in batches
        ]
        numbers = [next(self._numbers) for _ in batches]
        orders = [
            pickle.dumps(BatchRequest(self._ticket, number, b.first, b.n_calls, b.attempt, parcel))
            for number, b, parcel in zip(numbers, batches, parcels, strict=True)
        ]
        keys = [(f"acme-{self._ticket.run_id}", number) for number in numbers]
        workers = {key: a.worker for key, a in zip(keys, assignments, strict=True) if a.worker}
        submit: Any = self._client.map
        with prefer_workers(workers):
            futures = submit(run_batch, orders, key=keys, pure=False)
        flights = zip(numbers, futures, assignments, parcels, strict=True)
        for number, future, (batch, worker), parcel in flights:
            self._in_flight[number] = BatchInFlight(future, batch, parcel, worker)
            future.add_done_callback(self._arrivals.put)

    # -- back ------------------------------------------------------------------------------

    def _await_some(self) -> bool:
        """Wait for outcomes and handle them; `False` when the run ends early."""
        posted, futures = self._next_arrivals()
        self._refresh_slots()
        self._ending |= {number: self._in_flight[number].future for number in posted}
        go_on = True
        for number, pickled in itertools.chain(posted.items(), self._gathered(futures)):
            batch = self._landed(number)
            try:
                outcome = large_objects.unpack_outcome(pickled)
            except OSError as error:  # some systems clear memory when its user logs out
                logger.debug(f"<ParallelMap> DEBUG: an outcome has gone and is made anew ({error})")
                self._backlog.put_back(batch)
            else:
                go_on &= self._handle(batch, outcome)
        if not go_on:
            return False
        for number, future in futures.items():
            self._ending.pop(number, None)
            if number in self._in_flight:
                self._handle_lost(number, future)
        return True

    def _landed(self, number: int) -> PendingBatch:
        """Take a batch out of those in flight."""
        flight = self._in_flight.pop(number)
        if flight.worker is not None:
            self._balancer.unassign(flight.worker, flight.batch.n_calls)
        self._large_objects.release(flight.parcel)
        return flight.batch

    def _gathered(self, futures: Mapping[int, Future]) -> Iterator[tuple[int, bytes]]:
        """Fetch the outcomes that were not posted; a worker may die with one it had finished."""
        done = {
            number: future
            for number, future in futures.items()
            if number in self._in_flight and future.status == "finished"
        }
        if not done:
            return
        try:
            found = self._client.gather(list(done.values()), direct=self._direct)
            yield from zip(done, found, strict=True)
        except Exception as error:
            logger.debug(f"<ParallelMap> DEBUG: outcomes are fetched one by one ({error!r})")
            for number, future in done.items():
                if future.exception() is None:
                    yield number, future.result()

    def _next_arrivals(self) -> tuple[dict[int, bytes], dict[int, Future]]:
        """Wait for what comes next: outcomes that were posted, and futures that are done."""
        posted: dict[int, bytes] = {}
        futures: dict[int, Future] = {}
        patience, self._patience = self._patience, _REFRESH_SECONDS
        with contextlib.suppress(queue.Empty):
            while True:
                arrival = self._arrivals.get(block=patience > 0, timeout=patience)
                if isinstance(arrival, tuple):
                    posted[arrival[0]] = arrival[1]
                else:
                    key: Any = arrival.key
                    futures[key[1]] = arrival
                # Where nothing waits for room in the window, outcomes are better fetched together.
                to_fetch = futures.keys() & self._in_flight.keys() - posted.keys()
                patience = _LINGER if to_fetch and not self._backlog.n_calls else 0
        # A batch that ran twice, because its worker was lost, comes back twice.
        return {n: content for n, content in posted.items() if n in self._in_flight}, futures

    def _receive(self, number: int, pickled: bytes) -> None:
        self._arrivals.put((number, pickled))

    def _handle(self, batch: PendingBatch, outcome: BatchOutcome) -> bool:
        if outcome.worker_failure is not None:
            self._backlog.put_back(batch)
            raise exception_of(outcome.worker_failure)
        self._sizer.observe(outcome.n_calls, outcome.wall_seconds, outcome.seconds)
        again = self._backlog.settle(batch, outcome)
        self._accept(outcome, again)
        return not (self._stop_at_failure and outcome.failures.keys() - again)

    def _handle_lost(self, number: int, future: Future) -> None:
        """Handle a batch that came back without an outcome."""
        from distributed.scheduler import KilledWorker

        batch = self._landed(number)
        if future.status in ("lost", "pending"):
            # Its worker died between finishing it and handing over the outcome.
            self._client.cancel([future], force=True)
            self._backlog.put_back(batch)
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
        given_up = self._backlog.split_lost(batch, error)
        if given_up is not None:
            self._accept(given_up, set())

    # -- workers ---------------------------------------------------------------------------

    def _refresh_slots(self) -> None:
        if time.monotonic() - self._slots_read >= _REFRESH_SECONDS:
            self._update_workers(self._client.nthreads())
            self._find_stranded()

    def _find_stranded(self) -> None:
        """Send batches again that dask holds back for a worker that has gone.

        It does if there was no worker at all at that moment, and others come later.
        """
        gone = {n: f for n, f in self._in_flight.items() if f.worker not in (None, *self._threads)}
        if not gone or not self._threads:
            self._stranded = set()
            return
        ask: Any = self._client.processing
        processing = {key for keys in ask().values() for key in keys}
        stranded = {n for n, flight in gone.items() if flight.future.key not in processing}
        # Seen twice: it is not just between two workers, or done and the news on its way.
        for number in stranded & self._stranded:
            future, batch, _, _ = self._in_flight[number]
            if future.status == "pending":
                self._landed(number)
                self._client.cancel([future], force=True)
                self._backlog.put_back(batch, as_next=True)
        self._stranded = stranded

    def _update_workers(self, workers: Mapping[str, int]) -> None:
        self._threads = {worker: threads for worker, threads in workers.items() if threads > 0}
        self._balancer.update_workers(self._threads)
        self._slots = sum(workers.values())
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

    def _take_last(self) -> None:
        """Take in what comes back while nothing new begins: calls that are done are not lost.

        Batches of short calls that are being worked on come to their end soon; others hold one
        call, and what there is of it is no result yet.
        """
        self._call_off()
        end = time.monotonic() + (0 if self._sizer.long_calls else _LAST_WORDS)
        at_work = min(self._slots, len(self._in_flight))
        n_left = len(self._in_flight) - at_work
        with contextlib.suppress(queue.Empty):
            while len(self._in_flight) > n_left:
                patience = end - time.monotonic()
                arrival = self._arrivals.get(block=patience > 0, timeout=max(patience, 0))
                if isinstance(arrival, tuple) and arrival[0] in self._in_flight:
                    batch, outcome = (
                        self._landed(arrival[0]),
                        large_objects.unpack_outcome(arrival[1]),
                    )
                    if outcome.worker_failure is None:
                        self._handle(batch, outcome)

    def _cancel(self) -> None:
        """Take back what is still out there; its calls are to do again."""
        self._call_off()
        for flight in self._in_flight.values():
            self._backlog.put_back(flight.batch)
        self._in_flight.clear()
        self._ending.clear()
        self._balancer.clear()

    def _call_off(self) -> None:
        """Let workers begin none of the batches in flight."""
        futures: Sequence[Future] = [flight.future for flight in self._in_flight.values()]
        if futures and self._client.status == "running":
            self._client.cancel(futures, force=True)
