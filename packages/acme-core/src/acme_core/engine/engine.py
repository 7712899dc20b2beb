"""Runs all calls of one run on the workers of a dask client.

::

    pending calls ──▶ Backlog ──batches──▶ window ──▶ InFlightBatches ──▶ outcomes ──▶ accept
                        ▲    BatchSizer: how many calls         │
                        │    LoadBalancer: which worker         │
                        └── not reached, to be retried, lost ◀──┘

At most two batches per worker thread are in flight; each one that comes back makes room for the
next. The memory of client and scheduler therefore does not grow with the number of calls, and
no step loops over all futures. Every task has its own key: dask never merges equal calls.

With many workers the engine chooses the worker for each batch (`load_balancing`). If that worker
is gone, dask runs the batch on another one.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from acme_core.arguments.distribution import Distribution
from acme_core.engine.backlog import Backlog
from acme_core.engine.batch_sizing import BatchSizer
from acme_core.engine.batches import Assignment, BatchInFlight
from acme_core.engine.ending import last_reports
from acme_core.engine.in_flight import InFlightBatches, unpacked_outcome
from acme_core.engine.load_balancing import LoadBalancer
from acme_core.engine.taking_back import ANSWER_SECONDS, Candidate, batches_to_ask_back
from acme_core.engine.worker_pool import REFRESH_SECONDS, WorkerPool
from acme_core.transport import dask_internals
from acme_core.transport.large_objects import LargeObjects
from acme_core.transport.outcome_events import OutcomeInbox, Report
from acme_core.transport.protocol import BatchOutcome, RunTicket
from acme_core.worker.evaluation import BATCH_SECONDS
from acme_core.worker.failures import exception_of

if TYPE_CHECKING:
    from distributed import Client
    from distributed import Future as DaskFuture

    Future = DaskFuture[Any]

# One batch runs and one waits at the worker, which therefore never idles during a round trip. With
# more than two tasks per thread in a group, dask holds tasks back at the scheduler
# (`SchedulerState.is_rootish`, distributed 2026.8).
BATCHES_PER_WORKER = 2
# From this number of workers on, dask no longer compares how much each one has to do.
_MANY_WORKERS = dask_internals.MANY_WORKERS
# Seconds that many workers need to begin their first batches. Second batches follow after that:
# sent together, both kept 32 workers on two cores waiting.
_FIRST_BATCHES = 0.05
# With many workers, batches are sent in messages of many, because a message costs client and
# scheduler 5 ms and each of its batches 0.6 ms more (measured with encryption). Seconds between two
# messages, at most and in relation to the run time of the shortest batch of the last one.
_LONGEST_PAUSE = 0.2
_PAUSE_FACTOR = 0.2
# Seconds in which the reports of many workers are collected: each wake-up makes the thread of the
# run and dask's event loop wait for each other.
_COLLECT_SECONDS = 0.01
# Seconds between two looks for idle workers at the end of a run.
_LOOK_SECONDS = 0.1


class Engine:
    """Runs the calls of one run.

    Parameters
    ----------
    client : distributed.Client
        The client whose workers evaluate the calls.
    ticket : RunTicket
        Tells workers how to load the function.
    distribution : Distribution
        The arguments.
    large_objects : LargeObjects
        Transports large arguments.
    workers : mapping of str to int
        Number of threads of each current worker, by address.
    retries : int
        Number of further attempts for a failed call.
    stop_at_failure : bool
        Whether the first failed call ends the run.
    pending : sequence of range
        The calls to run, in order.
    direct : bool
        Whether this process can connect to the workers, or only their scheduler can.
    accept : callable
        Called with each outcome as it arrives, and with the set of its failed calls that will be
        tried again.
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
        self._backlog = Backlog(distribution, large_objects, pending, retries)
        self._in_flight = InFlightBatches(client, ticket, large_objects, direct=direct)
        self._pool = WorkerPool(client, workers)
        self._balancer = LoadBalancer()
        self._balancer.update_workers(self._pool.threads)
        self._sizer = BatchSizer()
        self._stop_at_failure = stop_at_failure
        self._accept = accept
        self._next_wait = REFRESH_SECONDS
        self._looked = self._next_message = 0.0

    @contextlib.contextmanager
    def running(self, meanwhile: Callable[[], None] | None = None) -> Iterator[None]:
        """Send the first batches and receive outcomes while inside, for `step`.

        Parameters
        ----------
        meanwhile : callable, optional
            Called once, while the workers run their first batches.
        """
        inbox = OutcomeInbox(self._client, self._ticket.run_id, self._in_flight.receive)
        try:
            self._fill_window()
            if meanwhile is not None:
                meanwhile()
            self._send()
            yield
        # GeneratorExit: the run belongs to a generator, and that is closed.
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            self._finish_running_batches()
            raise
        finally:
            inbox.close()
            self.take_back_all()

    def step(self, *, wait: bool = True) -> bool:
        """Handle what has come back, and send the next batches.

        Parameters
        ----------
        wait : bool
            Whether to wait for the next outcome if none has arrived.

        Returns
        -------
        bool
            Whether the run goes on: some call has neither a result nor failed for good.

        Raises
        ------
        Exception
            If a worker cannot work on this run at all, or the client cannot read its arguments.
            Failed calls are reported as outcomes instead.
        """
        if not self._handle_arrivals(wait):
            self._finish_running_batches()
            return False
        self._send()
        return bool(self._backlog.n_calls or self._in_flight)

    def take_back_all(self) -> None:
        """Cancel all batches in flight; `step` sends their calls again."""
        for batch in self._in_flight.clear():
            self._backlog.put_back(batch)
        self._balancer.clear()

    def _finish_running_batches(self) -> None:
        """Cancel all batches and accept what those that run have finished."""
        last_reports(
            self._in_flight,
            self._handle_report,
            slots=self._pool.slots,
            long_calls=self._sizer.long_calls,
        )

    # -- sending ---------------------------------------------------------------------------

    def _send(self) -> None:
        self._fill_window()
        self._ask_back()

    def _fill_window(self) -> None:
        idle = not self._in_flight
        wait = self._next_message - time.monotonic()
        if wait > 0 and not idle:
            self._next_wait = min(self._next_wait, wait)
            return
        while (room := self._room()) > 0 and self._backlog.n_calls:
            assignments = [self._next_assignment()]
            # A suspect shrinks the window, which must be computed again before the next batch.
            while (
                len(assignments) < room and self._backlog.n_calls and not self._backlog.has_suspects
            ):
                assignments.append(self._next_assignment())
            self._submit(assignments)
            if idle and room >= _MANY_WORKERS:
                self._next_wait = _FIRST_BATCHES
                return

    def _room(self) -> int:
        """Return the number of batches to send now; many workers get one each at first."""
        room = self._window() - self._in_flight.n_with_calls
        return room if self._in_flight or room < _MANY_WORKERS else self._pool.slots

    def _window(self) -> int:
        """Return the number of batches that may be in flight."""
        # One batch per worker: if a worker dies, its only batch is to blame.
        if self._backlog.has_suspects or self._in_flight.has_suspects:
            return max(1, len(self._pool.threads))
        # Long calls do not queue at a worker: another one may get idle first, or join.
        slots = self._pool.slots
        per_slot = 1 if self._sizer.travels_alone(slots) else BATCHES_PER_WORKER
        return max(1, slots) * per_slot

    def _next_assignment(self) -> Assignment:
        """Choose the next batch and, with many workers, its worker."""
        if self._backlog.has_suspects:  # any worker: the one that it was at may be gone
            return Assignment(self._backlog.next_suspect(), None, BATCH_SECONDS)
        seconds = self._sizer.time_limit(self._pool.slots)
        if len(self._balancer) < _MANY_WORKERS:
            return Assignment(self._backlog.next_batch(self._next_size(None)), None, seconds)
        worker = self._balancer.first_idle(self._sizer.seconds_per_call)
        batch = self._backlog.next_batch(self._next_size(worker))
        self._balancer.assign(worker, batch.n_calls)
        return Assignment(batch, worker, seconds)

    def _next_size(self, worker: str | None) -> int:
        """Return the number of calls for the next batch, which may be for a certain worker."""
        remaining, seconds = self._backlog.n_calls, self._sizer.seconds_per_call
        if worker is None or seconds is None or not self._sizer.even:
            return self._sizer.next_size(remaining, self._pool.slots)
        share = self._balancer.fair_share(worker, remaining, seconds)
        return min(self._sizer.even_size(share, self._pool.slots), remaining)

    def _submit(self, assignments: list[Assignment]) -> None:
        if len(self._balancer) >= _MANY_WORKERS:
            # Each worker has another batch in its queue, so this one may come a bit later.
            seconds = min(a.batch.n_calls for a in assignments) * (
                self._sizer.seconds_per_call or 0.0
            )
            pause = min(_LONGEST_PAUSE, _PAUSE_FACTOR * seconds)
            self._next_message = time.monotonic() + pause
        # In two messages at most: an annotation of workers holds for all tasks of a message.
        chosen = [assignment for assignment in assignments if assignment.worker is not None]
        others = [assignment for assignment in assignments if assignment.worker is None]
        for part in (chosen, others):
            if part:
                self._in_flight.send(part)

    # -- taking back calls -------------------------------------------------------------------

    def _ask_back(self) -> None:
        """At the end of a run, ask busy workers for calls if others have nothing to do."""
        if self._backlog.n_calls or self._in_flight.has_suspects:
            return
        self._next_wait = min(self._next_wait, _LOOK_SECONDS)
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        batches = [
            Candidate(n, f.worker, f.batch.n_calls, now - f.heard, now - f.asked < ANSWER_SECONDS)
            for n, f in self._in_flight.items()
            if f.batch.n_calls
        ]
        seconds = self._sizer.seconds_per_call or 0.0
        chosen = batches_to_ask_back(batches, self._pool.threads, seconds)
        self._in_flight.ask_back(chosen)

    def _take_back(self, number: int, call: int) -> None:
        """Take back the calls from ``call`` on, which the worker of a batch has given up."""
        batch = self._in_flight.take_calls(number, call)
        chosen = self._in_flight[number].chosen
        if chosen is not None:
            self._balancer.take_away(chosen, batch.n_calls)
        self._backlog.put_back(batch, as_next=True)

    # -- receiving -------------------------------------------------------------------------

    def _handle_arrivals(self, wait: bool) -> bool:
        """Handle outcomes, after waiting for the first one; return whether the run continues."""
        timeout, self._next_wait = self._next_wait, REFRESH_SECONDS
        many = len(self._balancer) >= _MANY_WORKERS
        reports, done = self._in_flight.next_arrivals(
            timeout if wait and self._in_flight else 0.0,
            linger=wait and not self._backlog.n_calls,
            collect=_COLLECT_SECONDS if wait and many else 0.0,
        )
        continues = True
        for report in reports:
            continues &= self._handle_report(report)
        for number, pickled in self._in_flight.fetch(done):
            continues &= self._handle_end(number, pickled)
        if continues:
            for number, future in done.items():
                if number in self._in_flight:
                    self._handle_without_outcome(number, future)
            # Last, because it takes batches out of those in flight.
            self._refresh_workers()
        return continues

    def _handle_report(self, report: Report) -> bool:
        """Handle what a worker posted about a batch; return whether the run continues."""
        if report.number not in self._in_flight:
            return True
        if report.kept_until is not None:
            self._take_back(report.number, report.kept_until)
            return True
        assert report.outcome is not None
        if report.more:
            return self._handle_part(self._in_flight[report.number], report.outcome)
        return self._handle_end(report.number, report.outcome)

    def _handle_part(self, flight: BatchInFlight, pickled: bytes) -> bool:
        """Record what a running batch has finished; return whether the run continues."""
        outcome = unpacked_outcome(pickled)
        if outcome is None:  # the next outcome of the batch leaves a gap
            return True
        flight.begun, flight.heard, flight.worker = True, time.monotonic(), outcome.worker
        return self._record(flight, outcome, ended=False)

    def _handle_end(self, number: int, pickled: bytes) -> bool:
        """Take back a batch and record its last outcome; return whether the run continues."""
        flight = self._take(number)
        outcome = unpacked_outcome(pickled)
        if outcome is None:
            self._backlog.put_back(flight.batch)
            return True
        if outcome.worker_failure is not None:
            self._backlog.put_back(flight.batch)
            raise exception_of(outcome.worker_failure)
        return self._record(flight, outcome, ended=True)

    def _record(self, flight: BatchInFlight, outcome: BatchOutcome, *, ended: bool) -> bool:
        """Record an outcome; return whether the run continues."""
        self._sizer.observe(outcome.n_calls, outcome.wall_seconds, outcome.seconds)
        n_before = flight.batch.n_calls
        flight.batch, again = self._backlog.settle(flight.batch, outcome, ended=ended)
        if not ended and flight.chosen is not None and n_before > flight.batch.n_calls:
            self._balancer.unassign(flight.chosen, n_before - flight.batch.n_calls)
        if outcome.n_calls:
            self._accept(outcome, again)
        return not (self._stop_at_failure and outcome.failures.keys() - again)

    def _take(self, number: int) -> BatchInFlight:
        """Remove a batch from those in flight and from the load of its worker."""
        flight = self._in_flight.take(number)
        if flight.chosen is not None:
            self._balancer.unassign(flight.chosen, flight.batch.n_calls)
        return flight

    def _handle_without_outcome(self, number: int, future: Future) -> None:
        """Handle a batch whose task ended without an outcome, because a worker or dask failed."""
        batch = self._take(number).batch
        if dask_internals.is_data_lost(future):
            # The worker died after it finished the batch. dask repeats the task by itself, under
            # the old key; the engine cancels that and sends the batch again under a new one.
            self._in_flight.cancel([future])
            self._backlog.put_back(batch)
            return
        error = future.exception() if future.status == "error" else None
        if error is None:
            raise ConnectionError(
                f"<ParallelMap> lost the connection to the scheduler of {self._client} "
                f"(a batch came back as {future.status!r}). Finished calls are kept; start the "
                "cluster again and repeat the others."
            )
        if not dask_internals.is_worker_death(error):
            raise error
        self._pool.expire()
        given_up = self._backlog.split_lost(batch, error)
        if given_up is not None:
            self._accept(given_up, set())

    def _refresh_workers(self) -> None:
        if not self._pool.refresh():
            return
        self._balancer.update_workers(self._pool.threads)
        for flight in self._in_flight.take_stranded(self._pool.threads):
            assert flight.chosen is not None
            self._balancer.unassign(flight.chosen, flight.batch.n_calls)
            # It may have been at the worker when that died: dask reports that only from the second
            # or fourth time on, depending on `allowed-failures`. As a suspect it runs anywhere.
            self._backlog.split_lost(flight.batch, ConnectionError("its worker is gone"))
