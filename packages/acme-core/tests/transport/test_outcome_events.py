"""Small outcomes are posted, large ones go through memory or are fetched; none is lost."""

import os
import pickle
import time

import numpy as np
import pytest

from acme_core import ComputeError, ParallelMap
from acme_core.transport import large_objects, outcome_events
from acme_core.transport.large_objects import LargeObjects


@pytest.mark.parametrize(
    ("size", "in_memory", "is_posted"),
    [(1, True, True), (100_000, True, True), (100_000, False, False)],
)
def test_outcomes_arrive_by_every_way(workers, monkeypatch, size, in_memory, is_posted):
    if not in_memory:  # as with workers on other machines
        monkeypatch.setattr(LargeObjects, "outcome_folder", lambda large_objects: None)
    posted, fetched = [], []
    deliver, gather = outcome_events._deliver, workers.gather
    monkeypatch.setattr(
        outcome_events, "_deliver", lambda event: (posted.append(event), deliver(event))
    )
    monkeypatch.setattr(
        workers,
        "gather",
        lambda futures, **options: fetched.extend(futures) or gather(futures, **options),
    )
    with ParallelMap(np.full, [size] * 20, range(20), write_worker_results=False) as pmap:
        results = pmap.compute()
    assert [int(r[0]) for r in results] == list(range(20))
    assert bool(posted) == is_posted
    assert bool(fetched) != is_posted


def test_outcome_of_a_lost_event_is_fetched(workers, monkeypatch):
    monkeypatch.setattr(outcome_events, "_deliver", lambda event: None)
    with ParallelMap(abs, range(100), write_worker_results=False) as pmap:
        assert pmap.compute() == list(range(100))


def test_event_of_an_ended_run_is_ignored(workers):
    outcome_events._deliver((0.0, {"run": "ended", "batch": 0, "outcome": b""}))


def test_calls_run_again_if_the_file_of_their_outcome_is_gone(workers, monkeypatch):
    unpack, lost = large_objects.unpack_outcome, []

    def lose_the_first(content):
        left = pickle.loads(content)
        if isinstance(left, large_objects.StoredOutcome) and not lost:
            lost.append(left.path)
            os.unlink(left.path)
        return unpack(content)

    monkeypatch.setattr(large_objects, "unpack_outcome", lose_the_first)
    with ParallelMap(np.full, [100_000] * 20, range(20), write_worker_results=False) as pmap:
        results = pmap.compute()
    assert len(lost) == 1
    assert [int(r[0]) for r in results] == list(range(20))


def test_missing_file_does_not_hide_why_a_run_ends(workers, monkeypatch):
    """A run that ends early still receives outcomes; some of their files may be gone."""
    unpack, failed, gone = large_objects.unpack_outcome, [], []

    def lose_all_after_a_failure(content):
        if failed:
            gone.append(content)
            raise FileNotFoundError("cleared")
        outcome = unpack(content)
        failed.extend(outcome.failures)
        return outcome

    def first_fails(x):
        time.sleep(0.1)
        return 1 // x

    monkeypatch.setattr(large_objects, "unpack_outcome", lose_all_after_a_failure)
    pmap = ParallelMap(first_fails, range(40), write_worker_results=False, verbose=False)
    with pmap, pytest.raises(ComputeError, match="ZeroDivisionError"):
        pmap.compute(on_error="stop")
    assert failed == [0]
    assert gone
