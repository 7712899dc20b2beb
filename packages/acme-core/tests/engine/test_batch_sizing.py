"""The number of calls per batch."""

import heapq

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme_core.engine.batch_sizing import (
    BATCHES_PER_SECOND,
    GROWTH,
    LARGEST,
    TARGET_SECONDS,
    BatchSizer,
)


def test_first_batches_are_small_and_grow_in_steps():
    sizer = BatchSizer()
    assert sizer.next_size(10**6, 2) == 4
    sizer.observe(4, 4e-6)
    assert sizer.next_size(10**6, 2) == 4 * GROWTH
    sizer.observe(4 * GROWTH, 4e-6 * GROWTH)
    assert sizer.next_size(10**6, 2) == 4 * GROWTH**2


def test_first_batches_are_single_calls_if_calls_are_few():
    """Of 20 calls for 4 workers, none waits behind another one that may take an hour."""
    assert BatchSizer().next_size(20, 4) == 1
    assert BatchSizer().next_size(64, 4) == 2


def test_batches_are_longer_with_many_workers():
    sizer = BatchSizer()
    sizer.observe(1, 0.05)
    assert sizer.next_size(10**6, 2) == 4
    assert sizer.next_size(10**6, 50) == 14
    assert sizer.next_size(10**6, 400) == 32  # in steps
    sizer.observe(32, 1.6)
    assert sizer.next_size(10**6, 400) == 114
    assert sizer.next_size(10**6, 1000) == 286


@pytest.mark.parametrize("slots", [20, 100, 400, 1000, 5000])
@pytest.mark.parametrize("seconds", [0.001, 0.05, 2.0])
def test_batches_a_second_are_bounded(slots, seconds):
    sizer = BatchSizer()
    for _ in range(6):
        size = sizer.next_size(10**9, slots)
        sizer.observe(size, size * seconds, [seconds] * size)
    size = sizer.next_size(10**9, slots)
    assert slots / (size * seconds) <= 2 * BATCHES_PER_SECOND
    assert sizer.time_limit(slots) >= size * seconds or size == 1


def test_first_batches_of_many_workers_last_until_the_second_ones_are_sent():
    assert BatchSizer().next_size(10**6, 400) == 22
    assert BatchSizer().next_size(400 * 20, 400) == 2


def test_long_calls_travel_alone_unless_there_are_many_workers():
    sizer = BatchSizer()
    sizer.observe(1, 1.5)
    assert sizer.next_size(10**6, 2) == 1
    assert sizer.travels_alone(2)
    assert sizer.next_size(10**6, 1000) == 10
    assert not sizer.travels_alone(1000)


def test_calls_are_even_if_their_times_differ_little():
    sizer = BatchSizer()
    assert not sizer.even
    sizer.observe(4, 0.2, [0.05, 0.051, 0.049, 0.05])
    assert sizer.even
    sizer.observe(4, 0.2, [0.01, 0.01, 0.01, 0.17])
    assert not sizer.even
    for _ in range(10):
        sizer.observe(4, 0.2, [0.05] * 4)
    assert sizer.even


def test_a_share_is_cut_into_equal_batches():
    sizer = BatchSizer()
    sizer.observe(3, 0.15)
    assert sizer.even_size(25.3, 20) == 8
    assert sizer.even_size(8.9, 20) == 8
    assert sizer.even_size(0.2, 20) == 1
    assert sizer.even_size(100.0, 400) == 96
    assert all(sizer.even_size(share, 20) * 0.05 <= 0.5 for share in range(1, 200))


@given(
    st.lists(st.tuples(st.integers(1, 10**5), st.floats(0, 100)), max_size=20),
    st.integers(1, 10**7),
    st.integers(0, 10**4),
)
def test_size_is_within_bounds(observations, remaining, slots):
    sizer = BatchSizer()
    for n_calls, seconds in observations:
        sizer.observe(n_calls, seconds)
    assert 1 <= sizer.next_size(remaining, slots) <= min(remaining, LARGEST)


@given(st.floats(1e-5, 0.5), st.integers(1, 5000), st.integers(1, 16))
def test_workers_end_together(seconds, n_calls, workers):
    """A simulated run of equal calls takes at most two batches longer than the ideal."""
    sizer = BatchSizer()
    free = [0.0] * workers
    left = n_calls
    while left:
        size = sizer.next_size(left, workers)
        left -= size
        heapq.heapreplace(free, free[0] + size * seconds)
        sizer.observe(size, size * seconds)
    ideal = n_calls * seconds / workers
    assert max(free) <= ideal + 2 * max(seconds, min(TARGET_SECONDS, ideal / 2) + 0.008)
