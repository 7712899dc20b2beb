"""Calls of a run that goes on are read from their payloads, and from the container afterwards."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acme_io import Slots, StorageOptions, open_results
from acme_io.backend import FailedCallError, RunStore, finished_calls

KINDS = {
    "links": StorageOptions(),
    "pickles": StorageOptions(pickle=True),
    "single": StorageOptions(single_file=True),
    "stacked": StorageOptions(slots=Slots((None, 2))),
    "stacked-single": StorageOptions(slots=Slots((None, 2)), single_file=True),
    "varying": StorageOptions(slots=Slots((None, np.inf))),
}
N_CALLS = 12


def value(call: int) -> object:
    if call == 5:
        return 1 // 0
    return np.full(2, float(call)), f"call {call}"


def as_returned(found: object, call: int) -> bool:
    array, text = found
    return array.tolist() == [float(call)] * 2 and text == f"call {call}"


def check(calls) -> None:
    for call in calls:
        assert call.index == call.index
        if call.index == 5:
            assert call.status == "failed"
            assert call.failure.type == "ZeroDivisionError"
            with pytest.raises(FailedCallError, match="Call 5 has no result because it failed"):
                _ = call.values
        else:
            assert call.status == "done"
            assert as_returned(call.values, call.index)
            assert call.result_1 == f"call {call.index}"
            assert call.arguments == {"x": call.index}


def accept(store: RunStore, tools, calls: range, attempt: int = 1) -> None:
    receipt = tools.write_batch(store, value, calls, attempt)
    store.accept(receipt)
    for call in calls:
        if call == 5:
            store.table.failures[call] = tools.failure("ZeroDivisionError")


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15)
@given(
    batches=st.permutations([range(a, a + 3) for a in range(0, N_CALLS, 3)]),
    retried=st.lists(st.integers(0, N_CALLS - 1), max_size=3),
)
def test_calls_in_any_order(tools, kind, batches, retried):
    folder = Path(tempfile.mkdtemp())
    try:
        store = RunStore.create(folder / "out", "f", KINDS[kind], tools.new_run(N_CALLS))
        ended = []
        for attempt, batch in [(1, b) for b in batches] + [(2, range(r, r + 1)) for r in retried]:
            accept(store, tools, batch, attempt)
            ended += [store.call(call) for call in batch]
            check(ended)
        tools.finish(store, [])
        check(ended)
        store.close()
        check(ended)
        with open_results(folder / "out", allow_pickle=True) as results:
            check(results)
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_calls_of_the_earlier_run(tools, tmp_path, kind):
    """A resumed run reads what the first one left, also from its container."""
    store = RunStore.create(tmp_path, "f", KINDS[kind], tools.new_run(N_CALLS))
    accept(store, tools, range(4))
    tools.finish(store, [])
    store.close()
    found = finished_calls(tmp_path, "f")
    store = RunStore.resume(tmp_path, "f", KINDS[kind], found.run, found.calls)
    ended = [store.call(call) for call in range(4)]
    check(ended)
    accept(store, tools, range(4, 12))
    ended += [store.call(call) for call in range(4, 12)]
    check(ended)
    tools.finish(store, [])
    store.close()
    check(ended)


@pytest.mark.parametrize("kind", ["links", "single"])
def test_value_that_hdf5_cannot_hold(tools, tmp_path, kind):
    store = RunStore.create(tmp_path, "f", KINDS[kind], tools.new_run(2))
    store.accept(tools.write_batch(store, lambda call: {1: object} if call else 7, range(2)))
    calls = [store.call(0), store.call(1)]
    assert [call.status for call in calls] == ["done", "pickled"]
    assert [call.values for call in calls] == [7, {1: object}]
    tools.finish(store, [])
    assert [call.values for call in calls] == [7, {1: object}]
    store.close()


def test_many_batch_files_are_consolidated_meanwhile(tools, tmp_path):
    n_calls = 300
    store = RunStore.create(tmp_path, "f", KINDS["stacked"], tools.new_run(n_calls))
    calls = []
    for call in range(n_calls):
        store.accept(tools.write_batch(store, lambda c: np.full(2, c), range(call, call + 1)))
        calls.append(store.call(call))
        assert calls[call // 2].values.tolist() == [call // 2] * 2
    tools.finish(store, [])
    assert [call.values[0] for call in calls] == list(range(n_calls))
    store.close()
