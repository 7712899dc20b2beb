"""When to ask the batch system about workers that are not online, and what its answer means."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from acme_cluster.slurm.parse import JobState

__all__ = ["Looks", "has_ended"]

_LONGEST_WAIT = 30.0


class Looks:
    """Decides when to ask about workers that are not online: soon, then less and less often.

    Parameters
    ----------
    shortest : float
        Least seconds between two looks at the same jobs.
    """

    def __init__(self, shortest: float) -> None:
        self._shortest = shortest
        self._known: set[tuple[Any, bool]] = set()
        self._wait = 0.0
        self._next = 0.0

    def due(self, missing: Mapping[Any, Any]) -> bool:
        """Tell whether to look now.

        Parameters
        ----------
        missing : mapping
            Jobs whose workers are not online, by the worker's name.

        Returns
        -------
        bool
            The next look is put off if it is true.
        """
        now = time.monotonic()
        # One that was just submitted, or was online and is not any more, may have ended at once.
        known = {(job.job_id, bool(job.seen_online)) for job in missing.values()}
        if known - self._known:
            self._wait, self._next = 0.0, now
        self._known = known
        if now < self._next:
            return False
        # Others wait in the queue, which may take hours.
        self._wait = min(_LONGEST_WAIT, max(self._shortest, 1.5 * self._wait))
        self._next = now + self._wait
        return True


def has_ended(state: JobState | None) -> bool:
    """Tell whether a job is over for good.

    Parameters
    ----------
    state : JobState or None
        As from the queue; None if it is not there.

    Returns
    -------
    bool
        False for a job that SLURM will run (again) by itself.
    """
    return state is None or state.state not in {
        "PENDING", "CONFIGURING", "RUNNING", "SUSPENDED", "REQUEUED", "REQUEUE_HOLD", "COMPLETING",
        "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED", "REQUEUE_FED",
    }  # fmt: skip
