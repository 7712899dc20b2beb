"""How many calls travel together: pure arithmetic on measured run times.

- The first batches hold one to four calls: enough to keep a worker busy until the client knows how
  long a call takes. If the first call takes long, the others come back without having run.
- After that a batch aims at a fifth of a second, which makes the cost of a dask task negligible.
  Client and scheduler handle a limited number of batches a second, so batches of many workers are
  longer: with a thousand workers they take 14 seconds, and calls of seconds travel together.
  What a batch has finished is reported while it runs, and what it has not begun can be taken back.
- Sizes grow in steps, because a single quick call may mislead. The steps are large: each one costs
  a round trip, and the calls of a batch that is too long come back without having run.
- Towards the end batches shrink, which lets all workers finish at about the same time. If all
  calls take equally long (`even`), the end can be predicted: each of many workers gets its share in
  a few batches of equal length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

# Seconds per batch: a task costs dask one and a half to three milliseconds of processor time.
TARGET_SECONDS = 0.2
# Batches per second of all workers together. With the reports of 400 workers they keep client and
# scheduler busy for half a core.
BATCHES_PER_SECOND = 70
# Seconds after which a batch ends, relative to those at which it aims, and at least.
LIMIT_FACTOR = 2.5
LEAST_LIMIT_SECONDS = 0.5
# Largest size of a batch relative to the largest one that came back. A factor of 8 cost runs of
# thousands of short calls more round trips.
GROWTH = 32
# Calls per batch. A batch costs the client 3.4 ms (docs/explanation/scaling.md): 0.07 us per call.
LARGEST = 50_000
# Calls in each of the first batches, and the number of such batches per slot that a run must have:
# of 20 calls for 4 workers, none waits behind another one that may take an hour.
FIRST = 4
FIRST_SHARE = 8
# Seconds of a call that the first batches of many workers are made for: with four calls each, a
# thousand workers would be back before the client has sent the second batches.
FIRST_SECONDS = 0.25
# Seconds per batch below which nothing is gained by cutting it: a few times the cost of a task.
SMALLEST_SECONDS = 0.008
# Weight of the old estimate when a new one comes in: one outlier changes it by less than a third.
MEMORY = 0.7
# Seconds per call from which on a batch of a single call does not queue at a worker.
ALONE_FROM = 1.0
# Least seconds per batch of even calls. Tried from 0.2 to 1.5 s with 32 workers: 0.45 s was best.
EVEN_SECONDS = 0.45
# Largest mean deviation of even calls, relative to their mean run time.
EVEN_WITHIN = 0.2
# Calls per batch whose deviation is computed: the client has no time to look at 50 000.
SAMPLE = 32


class BatchSizer:
    """Chooses the number of calls of the next batch.

    Parameters
    ----------
    target : float
        Seconds that a batch should take.
    """

    def __init__(self, target: float = TARGET_SECONDS) -> None:
        self._target = target
        self._seconds_per_call: float | None = None
        self._largest_seen = 0
        self._deviation = 1.0

    @property
    def seconds_per_call(self) -> float | None:
        """Current estimate; `None` until the first batch comes back."""
        return self._seconds_per_call

    @property
    def long_calls(self) -> bool:
        """Whether calls take so long that queueing them at a worker gains nothing."""
        return (self._seconds_per_call or 0.0) >= ALONE_FROM

    def travels_alone(self, slots: int) -> bool:
        """Whether a batch is a single long call, which should not queue at a worker."""
        return self.long_calls and self._aim(slots) <= (self._seconds_per_call or 0.0)

    def time_limit(self, slots: int) -> float:
        """Return the seconds after which a batch ends, whatever it was made for."""
        return max(LEAST_LIMIT_SECONDS, LIMIT_FACTOR * self._aim(slots))

    def _aim(self, slots: int) -> float:
        """Return the seconds that a batch should take."""
        return max(self._target, slots / BATCHES_PER_SECOND)

    @property
    def even(self) -> bool:
        """Whether run times differ so little that the end of the run can be predicted."""
        return self._deviation <= EVEN_WITHIN

    def observe(self, n_calls: int, seconds: float, each: Sequence[float] = ()) -> None:
        """Record a batch that came back.

        Parameters
        ----------
        n_calls : int
            Number of calls that were evaluated.
        seconds : float
            Wall time of the batch on the worker.
        each : sequence of float, optional
            Run time of each call.
        """
        if n_calls < 1:
            return
        # Never 0, because sizes divide by it; clocks may not advance during a trivial call.
        new = max(seconds / n_calls, 1e-9)
        old = self._seconds_per_call
        self._seconds_per_call = new if old is None else MEMORY * old + (1 - MEMORY) * new
        self._largest_seen = max(self._largest_seen, n_calls)
        if sample := each[:SAMPLE]:
            now = sum(abs(one - new) for one in sample) / len(sample) / new
            # The maximum: one uneven batch counts at once and is forgotten slowly.
            self._deviation = max(now, MEMORY * self._deviation) if old is not None else now

    def next_size(self, remaining: int, slots: int) -> int:
        """Choose the size of the next batch.

        Parameters
        ----------
        remaining : int
            Number of calls that are in no batch yet.
        slots : int
            Number of calls that the workers can run at a time.

        Returns
        -------
        int
            At least 1, at most ``remaining`` (or 1).
        """
        if self._seconds_per_call is None:
            first = max(FIRST, int(slots / BATCHES_PER_SECOND / FIRST_SECONDS))
            return max(1, min(first, remaining // (FIRST_SHARE * max(slots, 1))))
        aim = self._aim(slots) / self._seconds_per_call
        size = min(aim, self._largest_seen * GROWTH, LARGEST)
        share = math.ceil(remaining / max(slots, 1))
        smallest = SMALLEST_SECONDS / self._seconds_per_call
        return max(1, min(round(size), max(share, int(smallest)), remaining))

    def even_size(self, share: float, slots: int) -> int:
        """Cut one worker's share of the remaining calls into batches of equal length.

        For `even` calls: the batches are fewer and longer than those of `next_size`, and do not
        shrink towards the end.

        Parameters
        ----------
        share : float
            Number of calls that the worker should get.
        slots : int
            Number of calls that the workers can run at a time.

        Returns
        -------
        int
            Size of the first of these batches, at least 1. The fraction of a call that remains is
            left for the worker that is idle first at the end.
        """
        seconds = self._seconds_per_call or EVEN_SECONDS
        # 0.1: slightly longer batches are better than one more of them.
        rounds = max(1, math.ceil(share * seconds / max(EVEN_SECONDS, self._aim(slots)) - 0.1))
        return max(1, min(int(share / rounds), self._largest_seen * GROWTH, LARGEST))
