"""How many calls travel together: pure arithmetic on measured run times.

The first batches hold one to four calls: enough to keep a worker busy until the client knows how
long a call takes (after one that takes long the others come back undone). After that a batch shall
take a fifth of a second, so that what dask needs for a task does not matter; with many workers
longer, because the client can look after some hundred batches a second. Sizes grow in steps, so
that a single quick call does not mislead; the steps are large, because each costs a round trip, and
a batch that turns out too long comes back undone. Towards the end batches get small, so that all
workers end at about the same time.
"""

from __future__ import annotations

import math

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

    @property
    def seconds_per_call(self) -> float | None:
        """Current estimate, `None` before the first batch came back."""
        return self._seconds_per_call

    @property
    def long_calls(self) -> bool:
        """Whether calls take so long that nothing is gained by queueing them at a worker."""
        return (self._seconds_per_call or 0.0) >= ALONE_FROM

    def observe(self, n_calls: int, seconds: float) -> None:
        """Take note of a batch that came back.

        Parameters
        ----------
        n_calls : int
            Number of calls that were evaluated.
        seconds : float
            Wall time on the worker.
        """
        if n_calls < 1:
            return
        new = max(seconds / n_calls, 1e-9)
        old = self._seconds_per_call
        self._seconds_per_call = new if old is None else MEMORY * old + (1 - MEMORY) * new
        self._largest_seen = max(self._largest_seen, n_calls)

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
