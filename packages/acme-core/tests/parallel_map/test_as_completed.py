"""as_completed() yields each call once, as it ends, and may be left at any time."""

import contextlib
import inspect
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import acme_io
from acme_core import ComputeError, ParallelMap, each
from acme_io import open_results

pytestmark = pytest.mark.usefixtures("workers")

WAYS = {
    "in memory": {"write_worker_results": False},
    "stacked in memory": {"write_worker_results": False, "result_shape": (None,)},
    "file per call": {},
    "pickles": {"write_pickle": True},
    "single file": {"single_file": True},
    "stacked": {"result_shape": (None,)},
    "stacked single file": {"result_shape": (None,), "single_file": True},
}
MEMORY = WAYS["in memory"]
ON_DISK = [way for way in WAYS if "memory" not in way]

every_way = pytest.mark.parametrize("way", WAYS)


def f(x, y, z=3):
    return (x + y) * z


def odd_fails(x):
    if x % 2:
        raise KeyError(f"no {x}")
    return x


def nap(x):
    time.sleep(0.01)
    return x


def pmap_of(way, func, *args, **options):
    folder = {} if "memory" in way else {"output_dir": "out"}
    return ParallelMap(func, *args, verbose=False, **{**WAYS[way], **folder, **options})


def values(way, calls):
    """Return the values by call; an array of one number counts as this number."""
    return {call.index: float(call.values) if "stacked" in way else call.values for call in calls}


# -- all calls ---------------------------------------------------------------------------------


@every_way
def test_each_call_once(way):
    with pmap_of(way, f, range(500), 4) as pmap:
        calls = list(pmap.as_completed())
        assert len(calls) == 500
        assert values(way, calls) == {x: f(x, 4) for x in range(500)}
        assert {call.status for call in calls} == {"done"}
        assert (pmap.results is None) == ("memory" in way)
    # Also when the run is over, and single files have taken over what their parts held.
    assert values(way, calls) == {x: f(x, 4) for x in range(500)}
    if "memory" not in way:
        assert values(way, pmap.results) == {x: f(x, 4) for x in range(500)}
        assert (pmap.results_container is None) == (way == "pickles")


@settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    seconds=st.lists(st.sampled_from([0, 0, 0.001, 0.02, 0.1]), min_size=1, max_size=40),
    fails=st.sets(st.integers(0, 40)),
    body=st.sampled_from([0, 0.001, 0.05]),
)
def test_each_call_once_whatever_takes_how_long(workers, seconds, fails, body):
    def g(taskID, duration):
        time.sleep(duration)
        if taskID in fails:
            raise ValueError(taskID)
        return taskID

    found = []
    pmap = ParallelMap(g, duration=seconds, n_inputs=len(seconds), verbose=False, **MEMORY)
    with pmap:
        for call in pmap.as_completed(on_error="keep"):
            found.append((call.index, call.status))
            if len(found) < 5:
                time.sleep(body)
    expected = [(i, "failed" if i in fails else "done") for i in range(len(seconds))]
    assert sorted(found) == expected
    assert sorted(pmap.failures) == [i for i, status in expected if status == "failed"]


def test_calls_come_in_the_order_of_their_ends():
    def g(seconds):
        time.sleep(seconds)
        return time.time()

    with ParallelMap(g, [1.5, 0.2, 0.4, 0.6], verbose=False, **MEMORY) as pmap:
        calls = list(pmap.as_completed())
    ends = [call.values for call in calls]
    assert ends == sorted(ends)
    assert calls[0].index == 1


def test_a_call_comes_while_others_run():
    def g(seconds):
        time.sleep(seconds)
        return time.time()

    with ParallelMap(g, [0.01, 3.0], verbose=False, **MEMORY) as pmap:
        calls = pmap.as_completed()
        assert next(calls).index == 0
        came = time.time()
        assert next(calls).values > came


@every_way
def test_call_has_the_interface_of_results(way):
    def g(x, y):
        return x + y

    with pmap_of(way, g, [1, 2, 3], 4) as pmap:
        call = max(pmap.as_completed(), key=lambda call: call.index)
        public = {name for name in dir(acme_io.Call) if not name.startswith("_")}
        assert {name for name in dir(call) if not name.startswith("_")} >= public
        assert repr(call) == "<Call 2: done>"
        assert (call.number, call.index, call.status) == (2, 2, "done")
        assert call.arguments == {"x": 3}
        assert call.failure is None
        assert float(call.values) == float(call.result_0) == 7
        with pytest.raises(AttributeError, match="result_1"):
            _ = call.result_1
        with pytest.raises(AttributeError, match="nothing"):
            _ = call.nothing
        record = call.record
        assert (record["call"], record["status"]) == (2, "done")
        assert record["seconds"] < 10
        assert record["peak_memory"] > 1e6
        assert record["worker"].startswith("tls://")
        assert abs(record["started"] - time.time()) < 600


def test_values_in_memory_come_as_returned():
    returned = [1, (2, "b"), [3], {"d": np.arange(4)}, None, np.float64(5), np.arange(200_000)]

    def g(i):
        return returned[i]

    with ParallelMap(g, range(7), verbose=False, **MEMORY) as pmap:
        calls = {call.index: call for call in pmap.as_completed()}
    for i, value in enumerate(returned):
        assert type(calls[i].values) is type(value)
        np.testing.assert_equal(calls[i].values, value)
    assert calls[1].result_1 == "b"


def test_stacked_values_are_rows():
    def g(x):
        return np.full(3, x), str(x)

    options = {"result_shape": (None, 3), "result_dtype": "int32", "verbose": False}
    with ParallelMap(g, [1, 2], **options, **MEMORY) as pmap:
        in_memory = {call.index: call.values for call in pmap.as_completed()}
    with ParallelMap(g, [1, 2], **options) as pmap:
        on_disk = {call.index: call.values for call in pmap.as_completed()}
    for found in (in_memory, on_disk):
        assert [(row.tolist(), row.dtype.str, text) for row, text in map(found.get, range(2))] == [
            ([1, 1, 1], "<i4", "1"),
            ([2, 2, 2], "<i4", "2"),
        ]


def test_value_that_hdf5_cannot_hold():
    with ParallelMap(lambda x: {x: object} if x else 7, [0, 1], verbose=False) as pmap:
        calls = {call.index: call for call in pmap.as_completed()}
    assert [calls[i].status for i in range(2)] == ["done", "pickled"]
    assert calls[1].values == {1: object}


def test_calls_that_end_their_workers():
    def g(x):
        if x in (13, 40):
            os._exit(1)
        return x

    with ParallelMap(g, range(60), output_dir="out", verbose=False) as pmap:
        found = {call.index: call.status for call in pmap.as_completed(on_error="keep")}
    assert found == {x: "failed" if x in (13, 40) else "done" for x in range(60)}
    assert pmap.failures[13].type == "WorkerDiedError"


def test_loop_in_a_call_of_another_run(in_memory):
    def outer(x):
        def inverse(y):
            seen.append(y)
            return 1 // y

        seen, found = [], []
        for options in ({"on_error": "keep"}, {"on_error": "stop"}, {"retries": 1}):
            pmap = ParallelMap(inverse, [1, 0, 2], verbose=False, **MEMORY)
            try:
                for call in pmap.as_completed(**options):
                    found.append((call.index, call.status, len(seen)))
            except ComputeError as error:
                found.append(sorted(error.failures))
            seen.clear()
        return found

    keep = [(0, "done", 1), (1, "failed", 2), (2, "done", 3)]
    stop = [(0, "done", 1), (1, "failed", 2), [1]]
    retried = [(0, "done", 1), (2, "done", 3), (1, "failed", 4), [1]]
    assert in_memory(outer, [1, 2]) == [keep + stop + retried] * 2


# -- options -----------------------------------------------------------------------------------


def test_it_is_a_generator_that_starts_when_it_is_asked(tmp_path, children):
    before = children()
    calls = ParallelMap(f, [2, 4], 4).as_completed()
    assert inspect.isgenerator(calls)
    assert list(tmp_path.iterdir()) == []
    calls.close()
    assert list(tmp_path.iterdir()) == []
    assert children() == before


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"on_error": "never"}, ValueError, "on_error"),
        ({"retries": -1}, ValueError, "retries"),
        ({"debug": 1}, TypeError, "debug"),
        ({"resume": True}, ValueError, "output_dir"),
    ],
)
def test_wrong_options_are_refused_at_once(options, error, says):
    with pytest.raises(error, match=says):
        ParallelMap(f, [2, 4], 4).as_completed(**options)


def test_existing_results_are_refused():
    with ParallelMap(f, [2, 4], 4, output_dir="out", verbose=False) as pmap:
        pmap.compute()
        with pytest.raises(OSError, match="resume=True"):
            next(pmap.as_completed())


@every_way
@pytest.mark.parametrize("on_error", ["raise", "keep"])
def test_failed_calls_are_yielded(way, on_error):
    raises = contextlib.nullcontext() if on_error == "keep" else pytest.raises(ComputeError)
    calls = []
    with pmap_of(way, odd_fails, range(40)) as pmap, raises as caught:
        calls.extend(pmap.as_completed(on_error=on_error))
    assert sorted(call.index for call in calls) == list(range(40))
    done = [call for call in calls if call.status == "done"]
    failed = {call.index: call for call in calls if call.status == "failed"}
    assert values(way, done) == {x: x for x in range(0, 40, 2)}
    assert sorted(failed) == sorted(pmap.failures) == list(range(1, 40, 2))
    assert failed[3].failure.type == "KeyError"
    assert "odd_fails" in failed[3].failure.traceback
    assert failed[3].arguments == failed[3].record["arguments"] == {"x": 3}
    assert failed[3].record["failure"] == failed[3].failure
    with pytest.raises(RuntimeError, match="Call 3 has no result because it failed"):
        _ = failed[3].values
    if on_error == "raise":
        assert sorted(caught.value.failures) == list(range(1, 40, 2))
        assert isinstance(caught.value.__cause__, KeyError)
        assert caught.value.results is None
        assert "20 of 40 calls" in str(caught.value)


def test_stop():
    def first_fails(x):
        if x == 0:
            raise ValueError("stop here")
        time.sleep(0.3)
        return x

    calls = []
    with ParallelMap(first_fails, range(40), verbose=False, **MEMORY) as pmap:
        with pytest.raises(ComputeError, match="stop here"):
            calls.extend(pmap.as_completed(on_error="stop"))
        assert list(pmap.failures) == [0]
    assert [call.index for call in calls if call.status == "failed"] == [0]
    assert len(calls) < 10


@every_way
def test_retried_calls_are_yielded_once(way, tmp_path):
    def third_time(x, folder):
        marks = [Path(folder) / f"{x}-{i}" for i in range(2)]
        for mark in marks if x % 5 == 0 else ():
            if not mark.exists():
                mark.touch()
                raise OSError("once more")
        return x

    folder = tmp_path / "marks"
    folder.mkdir()
    with pmap_of(way, third_time, range(20), str(folder)) as pmap:
        calls = list(pmap.as_completed(retries=2))
    assert len(calls) == 20
    assert values(way, calls) == {x: x for x in range(20)}


@pytest.mark.parametrize("way", ON_DISK)
def test_calls_of_the_earlier_run_are_yielded_first(way, tmp_path):
    flag = tmp_path / "fail"
    flag.touch()

    def g(x, flag=str(flag)):
        if x % 3 == 0 and os.path.exists(flag):
            raise RuntimeError("on purpose")
        return x

    with pmap_of(way, g, range(12)) as pmap:
        pmap.compute(on_error="keep")
    flag.unlink()
    with pmap_of(way, g, range(12)) as pmap:
        calls = list(pmap.as_completed(resume=True))
    earlier = [x for x in range(12) if x % 3]
    assert [call.index for call in calls[:8]] == earlier
    assert sorted(call.index for call in calls[8:]) == [0, 3, 6, 9]
    assert values(way, calls) == {x: x for x in range(12)}
    # Of a complete run, all are earlier ones.
    with pmap_of(way, g, range(12)) as pmap:
        calls = list(pmap.as_completed(resume=True))
        assert values(way, calls) == {x: x for x in range(12)}
        assert [call.index for call in calls] == list(range(12))


@every_way
def test_debug_runs_a_call_when_it_is_asked_for(way, children):
    ran, before = [], children()

    def g(x):
        ran.append((x, os.getpid(), threading.get_ident()))
        return x

    with pmap_of(way, g, range(6)) as pmap:
        for number, call in enumerate(pmap.as_completed(debug=True)):
            assert [x for x, *_ in ran] == list(range(number + 1))
            assert values(way, [call]) == {number: number}
    assert {one[1:] for one in ran} == {(os.getpid(), threading.get_ident())}
    assert children() == before


def test_debug_raises_the_exception_of_the_call():
    with ParallelMap(odd_fails, range(4), output_dir="out", verbose=False) as pmap:
        calls = pmap.as_completed(debug=True)
        assert next(calls).values == 0
        with pytest.raises(KeyError, match="no 1"):
            next(calls)
    assert open_results("out").missing == [1, 2, 3]


def test_seed():
    def draw(rng):
        return float(rng.random())

    def drawn(**options):
        with ParallelMap(draw, n_inputs=8, verbose=False, **MEMORY) as pmap:
            return {call.index: call.values for call in pmap.as_completed(**options)}

    assert drawn(seed=3) == drawn(seed=3, debug=True)
    assert drawn(seed=4) != drawn(seed=3)


def test_dry_run_that_is_declined(monkeypatch, tmp_path):
    monkeypatch.setattr("acme_core.run.trials.dry_run._at_terminal", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _: "n")
    assert list(ParallelMap(f, [2, 4], 4, dryrun=True).as_completed()) == []
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr("builtins.input", lambda _: "y")
    with ParallelMap(f, [2, 4], 4, dryrun=True, verbose=False) as pmap:
        assert values("", pmap.as_completed()) == {0: 18, 1: 24}


def test_items_of_a_generator_are_drawn_in_the_thread_of_the_loop():
    threads, drawn = set(), []

    def items():
        for i in range(200):
            threads.add(threading.get_ident())
            drawn.append(i)
            yield i

    with ParallelMap(nap, each(items()), n_inputs=200, verbose=False, **MEMORY) as pmap:
        for taken, _ in enumerate(pmap.as_completed()):
            # Four batches of a fifth of a second are in flight, and few wait for the loop.
            assert len(drawn) - taken < 150
        assert threads == {threading.get_ident()}
        with pytest.raises(ValueError, match="read only once"):
            pmap.as_completed()
