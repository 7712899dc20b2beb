"""When to ask SLURM about jobs without a worker online, and which of its answers mean "over"."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from acme_cluster.slurm.parse import JobState

__all__ = ["PollTimer", "has_ended"]

# Seconds between two looks at jobs that wait in the queue: often enough to notice a start or a
# cancellation, and 120 questions an hour of one client are nothing to a controller.
_LONGEST_WAIT = 30.0

# Each look is this much later than the one before, from `shortest` to `_LONGEST_WAIT`.
_GROWTH = 1.5

# States of a job that runs or will run again without help. Every other state (squeue shows ended
# jobs for some minutes, `MinJobAge` in slurm.conf) is final. See JOB STATE CODES in squeue(1).
_ALIVE = frozenset({
    "PENDING", "CONFIGURING", "RUNNING", "SUSPENDED", "REQUEUED", "REQUEUE_HOLD", "COMPLETING",
    "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED", "REQUEUE_FED",
})  # fmt: skip


class PollTimer:
    """Spaces the questions about missing workers: soon after a change, then less and less often.

    Parameters
    ----------
    shortest : float
        Least seconds between two questions about the same jobs.
    """

    def __init__(self, shortest: float) -> None:
        self._shortest = shortest
        self._known: set[tuple[Any, bool]] = set()
        self._wait = 0.0
        self._next = 0.0

    def due(self, missing: Mapping[Any, Any]) -> bool:
        """Return whether to ask now; if so, schedule the next question.

        Parameters
        ----------
        missing : mapping
            Jobs without a worker online, by the worker's name.

        Returns
        -------
        bool
            Whether to ask now.
        """
        now = time.monotonic()
        # Two kinds of news are asked about at once: a job just submitted, which may have failed in
        # its first second, and one whose worker was online and has gone.
        known = {(job.job_id, bool(job.seen_online)) for job in missing.values()}
        if known - self._known:
            self._wait, self._next = 0.0, now
        self._known = known
        if now < self._next:
            return False
        # The others wait in the queue, which may take hours.
        self._wait = min(_LONGEST_WAIT, max(self._shortest, _GROWTH * self._wait))
        self._next = now + self._wait
        return True


def has_ended(state: JobState | None) -> bool:
    """Return whether a job is over for good.

    Parameters
    ----------
    state : JobState or None
        As in the queue; None for a job that is not in it.

    Returns
    -------
    bool
        False for a job that SLURM runs, or will run (again) by itself.
    """
    return state is None or state.state not in _ALIVE
