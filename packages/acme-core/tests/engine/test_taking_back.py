"""The choice of batches whose calls should run on idle workers."""

from hypothesis import given
from hypothesis import strategies as st

from acme_core.engine.taking_back import MOST_REQUESTS, Candidate, batches_to_ask_back

THREADS = {"a": 1, "b": 1, "c": 1}


def batch(number, worker, n_calls, silent=0.0, asked=False):
    return Candidate(number, worker, n_calls, silent, asked)


def test_nothing_is_asked_back_while_all_workers_are_busy():
    batches = [batch(i, worker, 100) for i, worker in enumerate(THREADS)]
    assert batches_to_ask_back(batches, THREADS, 1.0) == []


def test_most_work_is_asked_back_first():
    batches = [batch(0, "a", 5), batch(1, "b", 9)]
    assert batches_to_ask_back(batches, THREADS, 1.0) == [1]
    assert batches_to_ask_back(batches, THREADS | {"d": 1}, 1.0) == [1, 0]


def test_running_calls_stay():
    assert batches_to_ask_back([batch(0, "a", 1)], THREADS, 60.0) == []
    assert batches_to_ask_back([batch(0, "a", 2)], THREADS, 60.0) == [0]
    # Behind another batch, a single call has not begun either.
    assert batches_to_ask_back([batch(0, "a", 1), batch(1, "a", 1)], THREADS, 60.0) == [1]


def test_little_work_stays_where_it_is():
    assert batches_to_ask_back([batch(0, "a", 5)], THREADS, 0.001) == []


def test_little_work_behind_a_long_call_is_asked_back():
    batches = [batch(0, "a", 5, silent=10.0), batch(1, "a", 3, silent=10.0)]
    assert batches_to_ask_back(batches, THREADS, 0.001) == [0, 1]
    # Calls of a minute are silent for as long.
    assert batches_to_ask_back([batch(0, "a", 1, silent=10.0)], THREADS, 60.0) == []


def test_a_batch_is_asked_once():
    assert batches_to_ask_back([batch(0, "a", 50, asked=True)], THREADS, 1.0) == []


def test_batches_at_unknown_workers_keep_them_busy():
    batches = [batch(0, "a", 50), batch(1, None, 1), batch(2, None, 1)]
    assert batches_to_ask_back(batches, THREADS, 1.0) == []
    assert batches_to_ask_back(batches[:2], THREADS, 1.0) == [0]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([None, "a", "b", "c", "gone"]),
            st.integers(1, 50),
            st.floats(0, 100),
            st.booleans(),
        ),
        max_size=30,
    ),
    st.dictionaries(st.sampled_from("abc"), st.integers(1, 30)),
    st.floats(0, 10),
)
def test_at_most_one_batch_for_each_idle_thread(found, threads, seconds):
    batches = [Candidate(number, *facts) for number, facts in enumerate(found)]
    chosen = batches_to_ask_back(batches, threads, seconds)
    assert len(chosen) == len(set(chosen)) <= min(MOST_REQUESTS, sum(threads.values()))
    by_number = {b.number: b for b in batches}
    assert all(by_number[n].worker is not None and not by_number[n].asked for n in chosen)
