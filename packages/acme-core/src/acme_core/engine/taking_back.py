"""Which calls to take back from busy workers when others have nothing to do."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

__all__ = ["ANSWER_SECONDS", "MOST_REQUESTS", "Candidate", "batches_to_ask_back"]

# Seconds of work below which the calls stay where they are: a request takes some milliseconds of
# the scheduler and of the worker, and the calls begin a round trip later.
_WORTH_SECONDS = 0.2
# Reports come twice a second. A batch that is silent for longer, and for longer than its calls
# usually take, is at a long call.
_SILENT_SECONDS = 0.6
_SILENT_CALLS = 2
# Requests at a time. For each the scheduler opens a connection, some milliseconds if encrypted.
MOST_REQUESTS = 8
# Seconds after which a request may be repeated. The worker may be gone, between two calls, or at a
# call that holds the interpreter lock.
ANSWER_SECONDS = 2.0


class Candidate(NamedTuple):
    """A batch in flight.

    Attributes
    ----------
    number : int
        The batches of a worker run in the order of their numbers.
    worker : str or None
        Where it is, as far as that is known.
    n_calls : int
        Calls that are neither reported nor taken back.
    silent : float
        Seconds since the worker last reported, or was last heard of.
    asked : bool
        Whether it was asked for its calls within the last `ANSWER_SECONDS`.
    """

    number: int
    worker: str | None
    n_calls: int
    silent: float
    asked: bool


def batches_to_ask_back(
    batches: Iterable[Candidate], threads: Mapping[str, int], seconds_per_call: float
) -> list[int]:
    """Choose batches whose calls, as far as they are not begun, should run on idle workers.

    Parameters
    ----------
    batches : iterable of Candidate
        The batches in flight with calls left, in the order in which they were sent.
    threads : mapping of str to int
        Number of threads of each worker.
    seconds_per_call : float
        Estimated run time of a call.

    Returns
    -------
    list of int
        Numbers of batches: at most one per idle thread, those with the most work first.
    """
    n_batches: Counter[str | None] = Counter()
    wait: dict[int, tuple[bool, float]] = {}
    asked = 0
    silent_at: defaultdict[str, bool] = defaultdict(bool)
    for batch in batches:
        n_before = n_batches[batch.worker]
        n_batches[batch.worker] += 1
        asked += batch.asked
        running = batch.worker is None or n_before < threads.get(batch.worker, 1)
        silent = batch.silent > _SILENT_SECONDS + _SILENT_CALLS * seconds_per_call
        if batch.worker is None:
            continue
        # The batches behind a long call wait for it as well.
        if running:
            silent_at[batch.worker] |= silent
        movable = batch.n_calls - running
        work = movable * seconds_per_call
        stuck = silent_at[batch.worker]
        if movable and not batch.asked and (stuck or work >= _WORTH_SECONDS):
            wait[batch.number] = (stuck, work)
    unknown = n_batches.pop(None, 0)
    idle = sum(max(0, n - n_batches[worker]) for worker, n in threads.items()) - unknown
    room = min(idle, MOST_REQUESTS - asked)
    return sorted(wait, key=wait.__getitem__, reverse=True)[: max(0, room)]
