"""The choice of a worker for each batch."""

import heapq

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acme_core.engine.batch_sizing import EVEN_SECONDS, BatchSizer
from acme_core.engine.load_balancing import LoadBalancer


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

    monkeypatch.setattr("acme_core.engine.load_balancing.time.monotonic", lambda: Clock.now)
    return Clock


def test_worker_with_the_fewest_calls_is_idle_first(clock):
    balancer = LoadBalancer()
    balancer.update_workers({"a": 1, "b": 1, "c": 2})
    for worker in "abc":
        balancer.assign(worker, 4)
    assert balancer.first_idle(None) == "c"
    balancer.assign("c", 6)
    balancer.unassign("b", 3)
    assert balancer.first_idle(None) == "b"


def test_elapsed_time_counts_as_finished_calls(clock):
    balancer = LoadBalancer()
    balancer.update_workers({"early": 1, "late": 1})
    balancer.assign("early", 6)
    clock.now += 0.5
    balancer.assign("late", 5)
    assert balancer.first_idle(None) == "late"
    assert balancer.first_idle(0.1) == "early"
    # 1 call and 5 calls are pending: with 10 more, each worker should get 8.
    assert balancer.fair_share("early", 10, 0.1) == pytest.approx(7)
    assert balancer.fair_share("late", 10, 0.1) == pytest.approx(3)


def test_dead_worker_is_not_chosen(clock):
    balancer = LoadBalancer()
    balancer.update_workers({"a": 1, "b": 1})
    balancer.assign("a", 5)
    balancer.update_workers({"a": 1})
    assert len(balancer) == 1
    assert balancer.first_idle(0.1) == "a"
    balancer.clear()
    assert balancer.given() == {"a": 0}


@settings(deadline=None)
@given(st.floats(0.002, 0.5), st.integers(200, 3000), st.integers(20, 60))
def test_even_calls_need_few_batches(seconds, n_calls, workers):
    """A simulated run of equal calls takes hardly longer than the ideal, in few batches."""
    sizer, balancer, now = BatchSizer(), LoadBalancer(), 0.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("acme_core.engine.load_balancing.time.monotonic", lambda: now)
        balancer.update_workers({str(number): 1 for number in range(workers)})
        free = dict.fromkeys(map(str, range(workers)), 0.0)
        coming: list[tuple[float, str, int]] = []
        left, batches = n_calls, 0

        def send():
            nonlocal left, batches
            worker = balancer.first_idle(sizer.seconds_per_call)
            if sizer.even:
                share = balancer.fair_share(worker, left, sizer.seconds_per_call)
                size = sizer.even_size(share, workers)
            else:
                size = sizer.next_size(left, workers)
            size = min(size, left)
            left, batches = left - size, batches + 1
            free[worker] = max(free[worker], now) + size * seconds
            balancer.assign(worker, size)
            heapq.heappush(coming, (free[worker], worker, size))

        for _ in range(2 * workers):
            if left:
                send()
        while coming:
            now, worker, size = heapq.heappop(coming)
            balancer.unassign(worker, size)
            sizer.observe(size, size * seconds, [seconds] * size)
            while left and len(coming) < 2 * workers:
                send()
    ideal = n_calls * seconds / workers
    assert now <= ideal + 2 * seconds + 0.05 * ideal
    longest = max(1, EVEN_SECONDS // seconds)
    assert batches <= workers * (5 + 1.5 * (n_calls / workers) / longest)
