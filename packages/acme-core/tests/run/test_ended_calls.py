"""Calls are handed out once each, in the order in which their outcomes came."""

import itertools
import weakref
from array import array

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme_core.arguments.distribution import distribute
from acme_core.run.calls.call_states import CallStates
from acme_core.run.calls.ended_calls import EndedCalls
from acme_core.transport.protocol import BatchOutcome, CallFailure
from acme_io.backend import Failure

N_CALLS = 30


def identity(x):
    return x


def outcome_of(calls, failed=(), value=lambda call: call):
    n = len(calls)
    return BatchOutcome(
        calls.start,
        n,
        started=array("d", [0.0] * n),
        seconds=array("d", [0.0] * n),
        peak_memory=array("q", [0] * n),
        values=[None if call in failed else value(call) for call in calls],
        failures={call: CallFailure(Failure("E", "m", "t"), None) for call in failed},
    )


@st.composite
def outcomes(draw):
    """Outcomes with failed calls, some of which are tried again; batches may be repeated."""
    first = draw(st.integers(0, N_CALLS - 1))
    calls = range(first, min(N_CALLS, first + draw(st.integers(1, 8))))
    failed = draw(st.sets(st.sampled_from(calls)))
    return calls, failed, draw(st.sets(st.sampled_from(sorted(failed)))) if failed else set()


@given(batches=st.lists(outcomes(), max_size=15), taken=st.lists(st.integers(0, 5), max_size=15))
def test_each_call_once_in_the_order_of_outcomes(batches, taken):
    ended = EndedCalls(distribute(identity, (range(N_CALLS),), {}), None, None)
    states = CallStates(N_CALLS, None, None, ended)
    expected, found = [], []
    for at, (calls, failed, again) in enumerate(batches):
        states.accept(outcome_of(calls, failed), again)
        for call in calls:
            if call not in again and call not in [one for one, _ in expected]:
                expected.append((call, "failed" if call in failed else "done"))
        # Some are taken in between; an iteration may be left in the middle of an outcome.
        for _, call in zip(range(taken[at] if at < len(taken) else 0), ended.take(), strict=False):
            found.append(call)
    found += ended.take()
    assert [(call.index, call.status) for call in found] == expected
    assert all(call.values == call.index for call in found if call.status == "done")
    assert not len(ended)
    assert list(ended.take()) == []


def test_values_are_let_go_one_by_one():
    class Value:
        pass

    made = [Value() for _ in range(4)]
    alive = [weakref.ref(one) for one in made]
    ended = EndedCalls(distribute(identity, (range(4),), {}), None, None)
    outcome = outcome_of(range(4), value=made.__getitem__)
    ended.add(outcome, set())
    del outcome
    made.clear()
    for seen, call in enumerate(ended.take()):
        assert alive[seen]() is call.values
        assert [one() is not None for one in alive] == [i >= seen for i in range(4)]


@given(status=st.lists(st.sampled_from([0, 1, 2, 3]), min_size=1, max_size=40))
def test_pending_stretches(status):
    states = CallStates(len(status), None, None)
    states._status[:] = status
    pending = states.pending()
    assert [call for part in pending for call in part] == [
        call for call, one in enumerate(status) if one not in (1, 3)
    ]
    assert all(a.stop < b.start for a, b in itertools.pairwise(pending))
    assert all(pending)
    assert states.all_ended == (0 not in status)
    assert states.done().tolist() == np.flatnonzero(np.isin(status, (1, 3))).tolist()


def test_arguments_of_a_call_in_memory():
    ended = EndedCalls(distribute(identity, ([np.arange(3), "text", 5],), {}), None, None)
    ended.add(outcome_of(range(3)), set())
    array_, text, number = (call.arguments["x"] for call in ended.take())
    assert array_["shape"] == [3]
    assert (text, number) == ("text", 5)


def test_name_that_is_no_result():
    ended = EndedCalls(distribute(identity, (range(1),), {}), None, None)
    ended.add(outcome_of(range(1), value=lambda _: (7, "b")), set())
    (call,) = ended.take()
    assert (call.result_0, call.result_1) == (7, "b")
    for name in ("result_2", "result_x", "nothing"):
        with pytest.raises(AttributeError, match=name):
            getattr(call, name)
