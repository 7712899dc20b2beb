"""Which of many workers gets the next batch."""

import heapq

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acme_core.rota import Rota
from acme_core.sizing import EVEN_SECONDS, BatchSizer


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

    monkeypatch.setattr("acme_core.rota.time.monotonic", lambda: Clock.now)
    return Clock


def test_the_worker_with_the_least_to_do_is_the_first_to_be_free(clock):
    rota = Rota()
    rota.take_stock({"a": 1, "b": 1, "c": 2})
    for worker in "abc":
        rota.give(worker, 4)
    assert rota.first_free(None) == "c"
    rota.give("c", 6)
    rota.take_back("b", 3)
    assert rota.first_free(None) == "b"


def test_what_a_worker_should_have_done_meanwhile_counts(clock):
    rota = Rota()
    rota.take_stock({"early": 1, "late": 1})
    rota.give("early", 6)
    clock.now += 0.5
    rota.give("late", 5)
    assert rota.first_free(None) == "late"
    assert rota.first_free(0.1) == "early"
    # 1 call and 5 calls are not done: with 10 more each should come to 8.
    assert rota.share("early", 10, 0.1) == pytest.approx(7)
    assert rota.share("late", 10, 0.1) == pytest.approx(3)


def test_a_worker_that_has_gone_is_not_chosen(clock):
    rota = Rota()
    rota.take_stock({"a": 1, "b": 1})
    rota.give("a", 5)
    rota.take_stock({"a": 1})
    assert len(rota) == 1
    assert rota.first_free(0.1) == "a"
    rota.clear()
    assert rota.given() == {"a": 0}


@settings(deadline=None)
@given(st.floats(0.002, 0.5), st.integers(200, 3000), st.integers(20, 60))
def test_workers_end_together_after_few_batches(seconds, n_calls, workers):
    """A simulated run of equal calls: hardly longer than the ideal, in as few batches as may be."""
    sizer, rota, now = BatchSizer(), Rota(), 0.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("acme_core.rota.time.monotonic", lambda: now)
        rota.take_stock({str(number): 1 for number in range(workers)})
        free = dict.fromkeys(map(str, range(workers)), 0.0)
        coming: list[tuple[float, str, int]] = []
        left, batches = n_calls, 0

        def send():
            nonlocal left, batches
            worker = rota.first_free(sizer.seconds_per_call)
            if sizer.even:
                size = sizer.part_of(rota.share(worker, left, sizer.seconds_per_call))
            else:
                size = sizer.next_size(left, workers)
            size = min(size, left)
            left, batches = left - size, batches + 1
            free[worker] = max(free[worker], now) + size * seconds
            rota.give(worker, size)
            heapq.heappush(coming, (free[worker], worker, size))

        for _ in range(2 * workers):
            if left:
                send()
        while coming:
            now, worker, size = heapq.heappop(coming)
            rota.take_back(worker, size)
            sizer.observe(size, size * seconds, [seconds] * size)
            while left and len(coming) < 2 * workers:
                send()
    ideal = n_calls * seconds / workers
    assert now <= ideal + 2 * seconds + 0.05 * ideal
    longest = max(1, EVEN_SECONDS // seconds)
    assert batches <= workers * (5 + 1.5 * (n_calls / workers) / longest)
