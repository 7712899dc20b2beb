"""Small outcomes come by post, large ones from memory or fetched; none is lost or taken twice."""

import os
import pickle

import numpy as np
import pytest

from acme_core import ParallelMap
from acme_core.transport import large_objects, outcome_events
from acme_core.transport.large_objects import LargeObjects


@pytest.mark.parametrize(
    ("size", "in_memory", "is_posted"),
    [(1, True, True), (100_000, True, True), (100_000, False, False)],
)
def test_outcomes_come_whichever_way(workers, monkeypatch, size, in_memory, is_posted):
    if not in_memory:  # as where workers are on other machines
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


def test_what_is_lost_on_the_way_is_fetched(workers, monkeypatch):
    monkeypatch.setattr(outcome_events, "_deliver", lambda event: None)
    with ParallelMap(abs, range(100), write_worker_results=False) as pmap:
        assert pmap.compute() == list(range(100))


def test_an_outcome_that_comes_late_finds_nobody(workers):
    outcome_events._deliver((0.0, {"run": "of yesterday", "batch": 0, "outcome": b""}))


def test_an_outcome_whose_file_has_gone_is_made_anew(workers, monkeypatch):
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
