"""How many calls travel together: pure arithmetic on measured run times.

The first batches hold one to four calls: enough to keep a worker busy until the client knows how
long a call takes (after one that takes long the others come back undone). After that a batch shall
take a fifth of a second, so that what dask needs for a task does not matter; with many workers
longer, because the client can look after some hundred batches a second. Sizes grow in steps, so
that a single quick call does not mislead; the steps are large, because each costs a round trip, and
a batch that turns out too long comes back undone. Towards the end batches get small, so that all
workers end at about the same time. Where calls all take as long as each other (`even`), that end
can be foreseen: each of many workers gets its share in few batches of equal length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

TARGET_SECONDS = 0.2
LONGEST_SECONDS = 0.4
BATCHES_PER_SECOND = 100
GROWTH = 32
LARGEST = 50_000
FIRST = 4
FIRST_SHARE = 8
SMALLEST_SECONDS = 0.008
MEMORY = 0.7
ALONE_FROM = 1.0
EVEN_SECONDS = 0.45
EVEN_WITHIN = 0.2
SAMPLE = 32


class BatchSizer:
    """Chooses the number of calls of the next batch.

    Parameters
    ----------
    target : float
        Seconds that a batch shall take.
    """

    def __init__(self, target: float = TARGET_SECONDS) -> None:
        self._target = target
        self._seconds_per_call: float | None = None
        self._largest_seen = 0
        self._deviation = 1.0

    @property
    def seconds_per_call(self) -> float | None:
        """Current estimate, `None` before the first batch came back."""
        return self._seconds_per_call

    @property
    def long_calls(self) -> bool:
        """Whether calls take so long that nothing is gained by queueing them at a worker."""
        return (self._seconds_per_call or 0.0) >= ALONE_FROM

    @property
    def even(self) -> bool:
        """Whether calls take so equally long that their end can be foreseen."""
        return self._deviation <= EVEN_WITHIN

    def observe(self, n_calls: int, seconds: float, each: Sequence[float] = ()) -> None:
        """Take note of a batch that came back.

        Parameters
        ----------
        n_calls : int
            Number of calls that were evaluated.
        seconds : float
            Wall time on the worker.
        each : sequence of float, optional
            Run time of each call.
        """
        if n_calls < 1:
            return
        new = max(seconds / n_calls, 1e-9)
        old = self._seconds_per_call
        self._seconds_per_call = new if old is None else MEMORY * old + (1 - MEMORY) * new
        self._largest_seen = max(self._largest_seen, n_calls)
        if sample := each[:SAMPLE]:
            now = sum(abs(one - new) for one in sample) / len(sample) / new
            self._deviation = max(now, MEMORY * self._deviation) if old is not None else now

    def next_size(self, remaining: int, slots: int) -> int:
        """Choose the size of the next batch.

        Parameters
        ----------
        remaining : int
            Calls that are in no batch yet.
        slots : int
            Calls that the workers can run at a time.

        Returns
        -------
        int
            At least 1, at most ``remaining`` (or 1).
        """
        if self._seconds_per_call is None:
            return max(1, min(FIRST, remaining // (FIRST_SHARE * max(slots, 1))))
        target = min(max(self._target, slots / BATCHES_PER_SECOND), LONGEST_SECONDS)
        size = min(target / self._seconds_per_call, self._largest_seen * GROWTH, LARGEST)
        share = math.ceil(remaining / max(slots, 1))
        smallest = SMALLEST_SECONDS / self._seconds_per_call
        return max(1, min(round(size), max(share, int(smallest)), remaining))

    def even_size(self, share: float) -> int:
        """Cut the share that one worker has of what remains into batches of equal length.

        For calls of whose length one can be sure (`even`): fewer and longer batches than
        `next_size` makes, which do not get shorter towards the end.

        Parameters
        ----------
        share : float
            Calls that the worker shall get.

        Returns
        -------
        int
            Size of the first of these batches, at least 1. What is not a whole call is left, for
            whoever is free first at the end.
        """
        seconds = self._seconds_per_call or EVEN_SECONDS
        # Batches that are a little longer are better than one more of them.
        rounds = max(1, math.ceil(share * seconds / EVEN_SECONDS - 0.1))
        return max(1, min(int(share / rounds), self._largest_seen * GROWTH, LARGEST))
