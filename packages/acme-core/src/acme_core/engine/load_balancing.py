"""Which of many workers gets the next batch, and its fair share of the remaining calls.

Among few workers, dask's scheduler finds the one with the least to do. Among many it deals tasks
out in turn, without looking at each worker: some got four of the first batches and others none.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping

__all__ = ["LoadBalancer"]


class LoadBalancer:
    """Tracks the calls that each worker was given and an estimate of how many are done."""

    def __init__(self) -> None:
        self._threads: dict[str, int] = {}
        self._given: Counter[str] = Counter()
        # When each worker began the calls that it has now, by this process's monotonic clock.
        self._since: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._threads)

    def update_workers(self, threads: Mapping[str, int]) -> None:
        """Record the current workers and their thread counts."""
        self._threads = dict(threads)

    def assign(self, worker: str, n_calls: int) -> None:
        """Record calls that are sent to a worker."""
        if not self._given[worker]:
            self._since[worker] = time.monotonic()
        self._given[worker] += n_calls

    def unassign(self, worker: str, n_calls: int) -> None:
        """Record calls that came back from a worker, with or without results."""
        self._given[worker] -= n_calls
        # Workers run their batches in order, so the next one began when this one ended.
        self._since[worker] = time.monotonic()

    def take_away(self, worker: str, n_calls: int) -> None:
        """Record calls that a worker has given up without beginning them."""
        self._given[worker] -= n_calls

    def clear(self) -> None:
        """Forget all calls given to workers."""
        self._given.clear()

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
        now, given = time.monotonic(), self._given

        # Of two workers that should be idle by now, not the one that is still at a long call.
        def key(worker: str) -> tuple[float, int]:
            return self._ahead(worker, seconds_per_call, now), given[worker]

        return min(self._threads, key=key)

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
        now = time.monotonic()
        ahead = {w: self._ahead(w, seconds_per_call, now) for w in self._threads}
        undone = sum(ahead[w] * threads for w, threads in self._threads.items())
        # With this many calls per thread ahead of it, every worker ends at the same time.
        fair = (remaining + undone) / sum(self._threads.values())
        return (fair - ahead[worker]) * self._threads[worker]

    def _ahead(self, worker: str, seconds_per_call: float | None, now: float) -> float:
        """Return the number of calls per thread that a worker still has to do."""
        given = self._given[worker] / self._threads[worker]
        if not given or not seconds_per_call:
            return given
        return max(0.0, given - (now - self._since[worker]) / seconds_per_call)
