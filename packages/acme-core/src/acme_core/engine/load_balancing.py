"""Which of many workers gets the next batch, and what its fair share of the work is.

Among few workers dask itself finds the one with the least to do. It looks at each when a batch is
submitted, which is too early and too much where there are many: some would get four of the first
batches and others none.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping

__all__ = ["LoadBalancer"]


class LoadBalancer:
    """Keeps what each worker was given, and how far it should be with it."""

    def __init__(self) -> None:
        self._threads: dict[str, int] = {}
        self._given: Counter[str] = Counter()
        self._since: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._threads)

    def update_workers(self, threads: Mapping[str, int]) -> None:
        """Take note of the workers that there are, and their numbers of threads."""
        self._threads = dict(threads)

    def assign(self, worker: str, n_calls: int) -> None:
        """Take note of calls that are sent to a worker."""
        if not self._given[worker]:
            self._since[worker] = time.monotonic()
        self._given[worker] += n_calls

    def unassign(self, worker: str, n_calls: int) -> None:
        """Take note of calls that came back, in whatever state."""
        self._given[worker] -= n_calls
        self._since[worker] = time.monotonic()

    def clear(self) -> None:
        """Forget what workers were given."""
        self._given.clear()

    def given(self) -> dict[str, int]:
        """Return how many calls each worker has."""
        return {worker: self._given[worker] for worker in self._threads}

    def first_idle(self, seconds_per_call: float | None) -> str:
        """Choose the worker that should be the first to have nothing more to do.

        Parameters
        ----------
        seconds_per_call : float or None
            How long a call takes, if that is known.
        """
        now = time.monotonic()
        return min(self._threads, key=lambda worker: self._ahead(worker, seconds_per_call, now))

    def fair_share(self, worker: str, remaining: int, seconds_per_call: float) -> float:
        """Return how many calls a worker should get so that all end together.

        Parameters
        ----------
        worker : str
            The one that is the next to be free.
        remaining : int
            Calls that no worker was given yet.
        seconds_per_call : float
            How long a call takes.

        Returns
        -------
        float
            Beyond what it has already; what the others have and have not done counts, too.
        """
        now = time.monotonic()
        ahead = {w: self._ahead(w, seconds_per_call, now) for w in self._threads}
        undone = sum(ahead[w] * threads for w, threads in self._threads.items())
        fair = (remaining + undone) / sum(self._threads.values())
        return (fair - ahead[worker]) * self._threads[worker]

    def _ahead(self, worker: str, seconds_per_call: float | None, now: float) -> float:
        """Return the calls per thread that a worker still has to do."""
        given = self._given[worker] / self._threads[worker]
        if not given or not seconds_per_call:
            return given
        return max(0.0, given - (now - self._since[worker]) / seconds_per_call)
