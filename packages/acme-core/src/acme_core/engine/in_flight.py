"""The batches in flight: sent as dask tasks, received as outcomes.

::

    send ──▶ dask task ──▶ worker ──event with the outcome──▶ receive ─┐
                             └─ the future is done ────────────────────┴─▶ next_arrivals
                                  └─ fetch, for outcomes that were not posted

Two reports come back for a batch, in any order: the event and its future. The first one with the
outcome counts.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import pickle
import queue
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from acme_core.engine.batches import Assignment, BatchInFlight, PendingBatch
from acme_core.transport import dask_internals, serialization
from acme_core.transport.large_objects import LargeObjects
from acme_core.transport.protocol import BatchRequest, RunTicket
from acme_core.worker.task import run_batch

if TYPE_CHECKING:
    from distributed import Client
    from distributed import Future as DaskFuture

    Future = DaskFuture[Any]

__all__ = ["InFlightBatches"]

logger = logging.getLogger(__name__)

# Seconds to wait for more futures after the first, near the end of a run: one request fetches all
# of them. While batches still wait to be sent, refilling the window comes first.
_LINGER = 0.004


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
        self._arrivals: queue.SimpleQueue[Future | tuple[int, bytes]] = queue.SimpleQueue()
        self._numbers = itertools.count()
        self._unassigned: set[int] = set()

    def __len__(self) -> int:
        return len(self._batches)

    def __contains__(self, number: int) -> bool:
        return number in self._batches

    @property
    def has_suspects(self) -> bool:
        """Whether a batch was at a worker when that died."""
        return any(flight.batch.suspect for flight in self._batches.values())

    # -- sending ---------------------------------------------------------------------------

    def send(self, assignments: Sequence[Assignment]) -> None:
        """Send batches in one message to the scheduler."""
        parcels = [
            self._large_objects.pack(serialization.dumps(a.batch.columns)) for a in assignments
        ]
        numbers = [next(self._numbers) for _ in assignments]
        requests = [
            pickle.dumps(BatchRequest(self._ticket, number, b.first, b.n_calls, b.attempt, parcel))
            for number, (b, _), parcel in zip(numbers, assignments, parcels, strict=True)
        ]
        keys = [(f"acme-{self._ticket.run_id}", number) for number in numbers]
        workers = {key: a.worker for key, a in zip(keys, assignments, strict=True) if a.worker}
        futures = dask_internals.submit(self._client, run_batch, requests, keys, workers)
        sent = zip(numbers, futures, assignments, parcels, strict=True)
        for number, future, (batch, worker), parcel in sent:
            # Recorded before the callback is set, which may run at once.
            self._batches[number] = BatchInFlight(future, batch, parcel, worker)
            future.add_done_callback(self._arrivals.put)

    # -- receiving -------------------------------------------------------------------------

    def receive(self, number: int, pickled: bytes) -> None:
        """Accept an outcome that was posted as an event; called in dask's event loop thread."""
        self._arrivals.put((number, pickled))

    def next_arrivals(
        self, timeout: float, *, linger: bool = False
    ) -> tuple[dict[int, bytes], dict[int, Future]]:
        """Wait for outcomes that were posted and for futures that are done.

        Parameters
        ----------
        timeout : float
            Longest time to wait for the first one, in seconds.
        linger : bool
            Whether to wait a moment for more futures, and fetch them together.

        Returns
        -------
        posted, done : dict
            Pickled outcomes and futures by number of the batch; both empty after the timeout.
        """
        posted: dict[int, bytes] = {}
        done: dict[int, Future] = {}
        with contextlib.suppress(queue.Empty):
            while True:
                arrival = self._arrivals.get(block=timeout > 0, timeout=timeout)
                if isinstance(arrival, tuple):
                    posted[arrival[0]] = arrival[1]
                else:
                    done[dask_internals.batch_number(arrival)] = arrival
                to_fetch = done.keys() & self._batches.keys() - posted.keys()
                timeout = _LINGER if to_fetch and linger else 0
        # A batch that ran twice, because its worker was lost, comes back twice.
        posted = {n: content for n, content in posted.items() if n in self._batches}
        self._ending |= {number: self._batches[number].future for number in posted}
        for number in done:
            self._ending.pop(number, None)
        return posted, done

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

    def take(self, number: int) -> BatchInFlight:
        """Remove a batch, and the file with its arguments."""
        flight = self._batches.pop(number)
        self._large_objects.release(flight.parcel)
        return flight

    # -- lost and cancelled batches --------------------------------------------------------

    def take_stranded(self, workers: Collection[str]) -> list[BatchInFlight]:
        """Take the batches that dask holds back for a worker that is gone.

        If no worker exists when a batch for a chosen worker is submitted, dask keeps the batch
        waiting for that worker, even if others join later.
        """
        gone = {
            number: flight.future
            for number, flight in self._batches.items()
            if flight.worker not in (None, *workers)
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
        batches = [flight.batch for flight in self._batches.values()]
        self._batches.clear()
        self._ending.clear()
        return batches
