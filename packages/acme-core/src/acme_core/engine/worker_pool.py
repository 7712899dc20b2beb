"""The workers of a run and the number of calls that they can run at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from acme_core.transport import dask_internals

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["WorkerPool"]

logger = logging.getLogger(__name__)

# Seconds between two questions to the scheduler, each of which is a round trip. Workers of a batch
# system that join later get their first batch after at most this time.
REFRESH_SECONDS = 1.0
# Seconds between two warnings that no worker is left: jobs may wait in the queue for hours.
_REMINDER_SECONDS = 60.0


class WorkerPool:
    """Addresses and thread counts of a client's workers, refreshed once a second.

    Parameters
    ----------
    client : distributed.Client
        The client of the run.
    threads : mapping of str to int
        Number of threads of each current worker, by address.
    """

    def __init__(self, client: Client, threads: Mapping[str, int]) -> None:
        self._client = client
        self._empty_since: float | None = None
        self._update(threads)

    @property
    def threads(self) -> Mapping[str, int]:
        """Number of threads by worker, without workers that have none."""
        return self._threads

    @property
    def slots(self) -> int:
        """Number of calls that the workers can run at a time: one per thread."""
        return sum(self._threads.values())

    def expire(self) -> None:
        """Let the next `refresh` ask the scheduler, however recent the last answer is."""
        self._asked = float("-inf")

    def refresh(self) -> bool:
        """Ask the scheduler for its workers if the last answer is old; return whether it was.

        Raises
        ------
        ConnectionError
            If the client was closed, for instance by the body of a loop over the calls.
        """
        if time.monotonic() - self._asked < REFRESH_SECONDS:
            return False
        if dask_internals.is_closed(self._client):
            raise ConnectionError(
                f"<ParallelMap> {self._client} was closed during the run. Finished calls are kept; "
                "start the cluster again and repeat the others."
            )
        self._update(self._client.nthreads())
        return True

    def _update(self, threads: Mapping[str, int]) -> None:
        self._threads = {worker: n for worker, n in threads.items() if n > 0}
        self._asked = now = time.monotonic()
        if self._threads:
            self._empty_since = None
        elif self._empty_since is None:
            self._empty_since = now
        elif now - self._empty_since > _REMINDER_SECONDS:
            self._empty_since = now
            logger.warning(
                "<ParallelMap> WARNING: no worker is left; waiting for new ones. "
                "Ctrl-C ends the run and keeps finished calls."
            )
