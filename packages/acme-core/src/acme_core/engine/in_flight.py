"""The batches in flight: sent as dask tasks, received as outcomes.

::

    send ──▶ dask task ──▶ worker ──events with outcomes──▶ receive ─┐
                             └─ the future is done ──────────────────┴─▶ next_arrivals
                                  └─ fetch, for outcomes that were not posted

The last outcome of a batch comes back twice, in any order: by an event and by its future. The first
one counts.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import pickle
import queue
import time
from collections import defaultdict
from collections.abc import Collection, ItemsView, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from acme_core.engine.batches import Assignment, BatchInFlight, PendingBatch
from acme_core.transport import dask_internals, large_objects, serialization
from acme_core.transport.large_objects import LargeObjects
from acme_core.transport.outcome_events import Report
from acme_core.transport.protocol import BatchOutcome, BatchRequest, RunTicket
from acme_core.worker.task import run_batch, take_back

if TYPE_CHECKING:
    from distributed import Client
    from distributed import Future as DaskFuture

    Future = DaskFuture[Any]

__all__ = ["InFlightBatches", "unpacked_outcome"]

logger = logging.getLogger(__name__)

# Seconds to wait for more futures after the first, near the end of a run: one request fetches all
# of them. While batches still wait to be sent, refilling the window comes first.
_LINGER = 0.004
# Seconds to wait for dask to report batches done whose outcomes have arrived; milliseconds do.
_ENDING_SECONDS = 0.2


class InFlightBatches:
    """The batches of one run that were sent and have not come back.

    Parameters
    ----------
    client : distributed.Client
        The client whose workers run the batches.
    ticket : RunTicket
        Travels with every batch.
    large_objects : LargeObjects
        Holds the arguments of a batch while it is in flight, if they are large.
    direct : bool
        Whether this process can connect to the workers, or only their scheduler can.
    """

    def __init__(
        self, client: Client, ticket: RunTicket, large_objects: LargeObjects, *, direct: bool
    ) -> None:
        self._client = client
        self._ticket = ticket
        self._large_objects = large_objects
        self._direct = direct
        self._batches: dict[int, BatchInFlight] = {}
        # Futures whose outcome arrived before dask reported them done. Dropping the last reference
        # to a future makes the scheduler cancel its task, here while the worker is ending it.
        self._ending: dict[int, Future] = {}
        # Filled by two of dask's threads (event loop, callbacks), emptied by the thread of the run.
        self._arrivals: queue.SimpleQueue[Future | Report] = queue.SimpleQueue()
        self._numbers = itertools.count()
        self._unassigned: set[int] = set()
        # Counted as batches come and go: there may be thousands.
        self._suspects: set[int] = set()
        self._emptied: set[int] = set()

    def __len__(self) -> int:
        return len(self._batches)

    def __contains__(self, number: int) -> bool:
        return number in self._batches

    @property
    def n_with_calls(self) -> int:
        """Number of batches without those whose calls were all taken back."""
        return len(self._batches) - len(self._emptied)

    @property
    def has_suspects(self) -> bool:
        """Whether a batch was at a worker when that died."""
        return bool(self._suspects)

    # -- sending ---------------------------------------------------------------------------

    def send(self, assignments: Sequence[Assignment]) -> None:
        """Send batches in one message to the scheduler."""
        parcels = [
            self._large_objects.pack(serialization.dumps(a.batch.columns)) for a in assignments
        ]
        numbers = [next(self._numbers) for _ in assignments]
        requests = [
            pickle.dumps(
                BatchRequest(
                    self._ticket,
                    number,
                    b.first,
                    b.n_calls,
                    b.attempt,
                    seconds,
                    announce=worker is None,
                    columns=parcel,
                )
            )
            for number, (b, worker, seconds), parcel in zip(
                numbers, assignments, parcels, strict=True
            )
        ]
        keys = [(f"acme-{self._ticket.run_id}", number) for number in numbers]
        workers = {key: a.worker for key, a in zip(keys, assignments, strict=True) if a.worker}
        futures = dask_internals.submit(self._client, run_batch, requests, keys, workers)
        sent = zip(numbers, futures, assignments, parcels, strict=True)
        now = time.monotonic()
        for number, future, (batch, worker, _), parcel in sent:
            # Recorded before the callback is set, which may run at once.
            self._batches[number] = BatchInFlight(future, batch, parcel, worker, worker, now)
            if batch.suspect:
                self._suspects.add(number)
            future.add_done_callback(self._arrivals.put)

    # -- receiving -------------------------------------------------------------------------

    def receive(self, report: Report) -> None:
        """Accept what a worker posts; called in dask's event loop thread."""
        self._arrivals.put(report)

    def next_arrivals(
        self, timeout: float, *, linger: bool = False, collect: float = 0.0
    ) -> tuple[list[Report], dict[int, Future]]:
        """Wait for reports that were posted and for futures that are done.

        Parameters
        ----------
        timeout : float
            Longest time to wait for the first one, in seconds.
        linger : bool
            Whether to wait a moment for more futures, and fetch them together.
        collect : float
            Seconds to wait for others after the first one.

        Returns
        -------
        reports : list of Report
            In the order in which they came; empty after the timeout.
        done : dict
            Futures by number of the batch.
        """
        reports: list[Report] = []
        done: dict[int, Future] = {}
        ended: set[int] = set()
        with contextlib.suppress(queue.Empty):
            while True:
                arrival = self._arrivals.get(block=timeout > 0, timeout=timeout)
                if collect and self._arrivals.empty() and not reports and not done:
                    time.sleep(collect)
                if not isinstance(arrival, Report):
                    done[dask_internals.batch_number(arrival)] = arrival
                # Of a batch that ran twice, because its worker was lost, the first outcome counts.
                elif arrival.number in self._batches and arrival.number not in ended:
                    reports.append(arrival)
                    if arrival.outcome is not None and not arrival.more:
                        ended.add(arrival.number)
                to_fetch = done.keys() & self._batches.keys() - ended
                timeout = _LINGER if to_fetch and linger else 0
        self._ending |= {number: self._batches[number].future for number in ended}
        for number in done:
            self._ending.pop(number, None)
        return reports, done

    def fetch(self, done: Mapping[int, Future]) -> Iterator[tuple[int, bytes]]:
        """Fetch the pickled outcomes of finished tasks that are still in flight."""
        finished = {
            number: future
            for number, future in done.items()
            if number in self._batches and future.status == "finished"
        }
        if not finished:
            return
        try:
            found = self._client.gather(list(finished.values()), direct=self._direct)
            yield from zip(finished, found, strict=True)
        except Exception as error:
            # One worker that died with a finished outcome fails the request for all.
            logger.debug(f"<ParallelMap> DEBUG: fetching outcomes one by one ({error!r})")
            for number, future in finished.items():
                if future.exception() is None:
                    yield number, future.result()

    def __getitem__(self, number: int) -> BatchInFlight:
        return self._batches[number]

    def items(self) -> ItemsView[int, BatchInFlight]:
        """Return the batches with their numbers, in the order in which they were sent."""
        return self._batches.items()

    def take(self, number: int) -> BatchInFlight:
        """Remove a batch, and the file with its arguments."""
        flight = self._batches.pop(number)
        self._suspects.discard(number)
        self._emptied.discard(number)
        self._large_objects.release(flight.parcel)
        return flight

    # -- taking back calls -------------------------------------------------------------------

    def ask_back(self, numbers: Iterable[int]) -> None:
        """Ask workers for the calls of batches that are not begun; they answer by reports."""
        by_worker: dict[str, list[int]] = defaultdict(list)
        for number in numbers:
            flight = self._batches[number]
            assert flight.worker is not None
            flight.asked = time.monotonic()
            by_worker[flight.worker].append(number)
        for worker, asked in by_worker.items():
            dask_internals.run_on_worker(
                self._client, worker, take_back, self._ticket.topic, self._ticket.run_id, asked
            )

    def take_calls(self, number: int, call: int) -> PendingBatch:
        """Remove and return the calls from ``call`` on, which a worker has given up."""
        flight = self._batches[number]
        batch = flight.batch
        n_kept = min(max(0, call - batch.first), batch.n_calls)
        flight.batch = batch.part(0, n_kept)
        if not n_kept:
            self._emptied.add(number)
        return batch.part(n_kept, batch.n_calls)

    # -- lost and cancelled batches --------------------------------------------------------

    def take_stranded(self, workers: Collection[str]) -> list[BatchInFlight]:
        """Take the batches that dask holds back for a worker that is gone.

        If no worker exists when a batch for a chosen worker is submitted, dask keeps the batch
        waiting for that worker, even if others join later.
        """
        gone = {
            number: flight.future
            for number, flight in self._batches.items()
            if flight.chosen not in (None, *workers)
        }
        if not gone or not workers:
            self._unassigned = set()
            return []
        unassigned = dask_internals.unassigned(self._client, gone)
        # Twice in a row: a batch seen once may be moving between two workers, or be done and its
        # report in flight.
        stranded = [
            number for number in unassigned & self._unassigned if gone[number].status == "pending"
        ]
        self._unassigned = unassigned
        taken = [self.take(number) for number in stranded]
        self.cancel([flight.future for flight in taken])
        return taken

    def cancel(self, futures: Collection[Future] | None = None) -> None:
        """Cancel the tasks of these futures, or of all batches in flight, unless they run."""
        if futures is None:
            futures = [flight.future for flight in self._batches.values()]
        dask_internals.cancel(self._client, futures)

    def clear(self) -> list[PendingBatch]:
        """Cancel and return everything in flight."""
        self.cancel()
        if not self._direct:
            self._await_endings()
        batches = [flight.batch for flight in self._batches.values() if flight.batch.n_calls]
        self._batches.clear()
        self._suspects.clear()
        self._emptied.clear()
        self._ending.clear()
        return batches

    def _await_endings(self) -> None:
        """Wait until dask has reported all batches done whose outcomes have arrived.

        A program that ends before, with a client that is not closed, shows tracebacks of dask:
        callbacks of its futures find no thread any more. ACME's own clients are closed first.
        """
        end = time.monotonic() + _ENDING_SECONDS
        while self._ending and (left := end - time.monotonic()) > 0:
            self.next_arrivals(left)


def unpacked_outcome(pickled: bytes) -> BatchOutcome | None:
    """Unpickle an outcome; without one, its calls run again."""
    try:
        outcome: BatchOutcome = large_objects.unpack_outcome(pickled)
        return outcome
    except OSError as error:
        # systemd-logind clears /dev/shm when its user logs out (RemoveIPC=yes).
        logger.debug(f"<ParallelMap> DEBUG: an outcome is gone; its calls run again ({error})")
        return None
