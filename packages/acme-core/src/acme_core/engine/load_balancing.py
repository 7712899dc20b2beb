"""Which of many workers gets the next batch, and its fair share of the remaining calls.

Among few workers, dask's scheduler finds the one with the least to do. Among many it deals tasks
out in turn, without looking at each worker: some got four of the first batches and others none.
"""

from __future__ import annotations

import heapq
import time
from collections import Counter
from collections.abc import Mapping

__all__ = ["LoadBalancer"]

# Seconds for which the order of the workers is kept. Batches are sent many at a time, and looking
# at each of a thousand workers for each of them took half a second at the start of a run.
_ORDER_SECONDS = 0.01


class LoadBalancer:
    """Tracks the calls that each worker was given and an estimate of how many are done."""

    def __init__(self) -> None:
        self._threads: dict[str, int] = {}
        self._n_threads = 0
        self._given: Counter[str] = Counter()
        # When each worker began the calls that it has now, by this process's monotonic clock.
        self._since: dict[str, float] = {}
        # Heap of calls ahead per thread, calls given, and worker. Empty if it must be made anew.
        self._order: list[tuple[float, int, str]] = []
        self._order_until = 0.0
        self._order_seconds: float | None = None
        # Calls ahead of all workers together, when the order was made and since.
        self._undone = 0.0

    def __len__(self) -> int:
        return len(self._threads)

    def update_workers(self, threads: Mapping[str, int]) -> None:
        """Record the current workers and their thread counts."""
        self._threads = dict(threads)
        self._n_threads = sum(threads.values())
        self._order.clear()

    def assign(self, worker: str, n_calls: int) -> None:
        """Record calls that are sent to a worker."""
        if not self._given[worker]:
            self._since[worker] = time.monotonic()
        self._given[worker] += n_calls
        if self._order and self._order[0][2] == worker:
            ahead, given, _ = self._order[0]
            ahead += n_calls / self._threads[worker]
            heapq.heapreplace(self._order, (ahead, given + n_calls, worker))
            self._undone += n_calls
        else:
            self._order.clear()

    def unassign(self, worker: str, n_calls: int) -> None:
        """Record calls that came back from a worker, with or without results."""
        self._given[worker] -= n_calls
        # Workers run their batches in order, so the next one began when this one ended.
        self._since[worker] = time.monotonic()
        self._order.clear()

    def take_away(self, worker: str, n_calls: int) -> None:
        """Record calls that a worker has given up without beginning them."""
        self._given[worker] -= n_calls
        self._order.clear()

    def clear(self) -> None:
        """Forget all calls given to workers."""
        self._given.clear()
        self._order.clear()

    def given(self) -> dict[str, int]:
        """Return the number of calls that each worker has."""
        return {worker: self._given[worker] for worker in self._threads}

    def first_idle(self, seconds_per_call: float | None) -> str:
        """Return the worker expected to become idle first.

        Parameters
        ----------
        seconds_per_call : float or None
            Estimated run time of a call; `None` if it is not known yet.
        """
        self._put_in_order(seconds_per_call)
        return self._order[0][2]

    def _put_in_order(self, seconds_per_call: float | None) -> None:
        now = time.monotonic()
        same = seconds_per_call == self._order_seconds
        if self._order and same and now < self._order_until:
            return
        self._order_until, self._order_seconds = now + _ORDER_SECONDS, seconds_per_call
        # Of two workers that should be idle by now, not the one that is still at a long call.
        self._order = [
            (self._ahead(worker, seconds_per_call, now), self._given[worker], worker)
            for worker in self._threads
        ]
        self._undone = sum(ahead * self._threads[worker] for ahead, _, worker in self._order)
        heapq.heapify(self._order)

    def fair_share(self, worker: str, remaining: int, seconds_per_call: float) -> float:
        """Return the number of further calls for a worker that lets all workers end together.

        Parameters
        ----------
        worker : str
            The worker expected to become idle first.
        remaining : int
            Number of calls given to no worker yet.
        seconds_per_call : float
            Estimated run time of a call.

        Returns
        -------
        float
            Calls in addition to those that the worker already has.
        """
        self._put_in_order(seconds_per_call)
        ahead = self._ahead(worker, seconds_per_call, time.monotonic())
        # With this many calls per thread ahead of it, every worker ends at the same time.
        fair = (remaining + self._undone) / self._n_threads
        return (fair - ahead) * self._threads[worker]

    def _ahead(self, worker: str, seconds_per_call: float | None, now: float) -> float:
        """Return the number of calls per thread that a worker still has to do."""
        given = self._given[worker] / self._threads[worker]
        if not given or not seconds_per_call:
            return given
        return max(0.0, given - (now - self._since[worker]) / seconds_per_call)
