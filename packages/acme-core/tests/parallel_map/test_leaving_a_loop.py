"""A loop over the calls of a run may be left early, be nested, or take turns with another one."""

import gc
import logging
import threading
import time
import tracemalloc
import weakref
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from acme_core import ComputeError, ParallelMap
from acme_core.transport import outcome_events
from acme_io import open_results

pytestmark = pytest.mark.usefixtures("workers")

WAYS = {
    "file per call": {},
    "pickles": {"write_pickle": True},
    "single file": {"single_file": True},
    "stacked": {"result_shape": (None,)},
    "stacked single file": {"result_shape": (None,), "single_file": True},
}
MEMORY = {"write_worker_results": False, "verbose": False}

every_way = pytest.mark.parametrize("way", WAYS)


def nap(x):
    time.sleep(0.02)
    return x


def wait_until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def leave(pmap, how, **options):
    """Leave a loop after five calls; return the calls that it has seen."""
    seen = []
    if how == "break":
        for call in pmap.as_completed(**options):
            seen.append(call)
            if len(seen) == 5:
                break
        return seen
    if how == "raise":
        with suppress(ZeroDivisionError):
            for call in pmap.as_completed(**options):
                seen.append(call)
                _ = 1 // (5 - len(seen))
        return seen
    calls = pmap.as_completed(**options)
    seen += [next(calls) for _ in range(5)]
    if how == "close":
        calls.close()
    else:
        error = {"throw": KeyError, "interrupt": KeyboardInterrupt}[how]
        with pytest.raises(error):
            calls.throw(error("from outside"))
    assert next(calls, "ended") == "ended"
    return seen


# -- left early --------------------------------------------------------------------------------


@every_way
@pytest.mark.parametrize("how", ["break", "raise", "close", "interrupt", "throw"])
def test_calls_that_have_ended_are_kept(way, how, caplog):
    with ParallelMap(nap, range(200), output_dir="out", **WAYS[way]) as pmap:
        seen = leave(pmap, how)
        assert "the run ended early" in caplog.text
        assert "compute(resume=True)" in caplog.text
        assert (how in ("break", "raise", "close")) == ("loop over its calls was" in caplog.text)
        # The container is there, and the folder is free for the next run.
        results = pmap.results
        done = [call.index for call in results if call.status == "done"]
        assert {call.index for call in seen} <= set(done)
        assert len(done) < 150
        assert [float(results[i].values) for i in done] == done
        assert [float(call.values) for call in seen] == [call.index for call in seen]
    with ParallelMap(nap, range(200), output_dir="out", verbose=False, **WAYS[way]) as pmap:
        again = [call.index for call in pmap.as_completed(resume=True)]
    # The workers belong to somebody else: calls that they were at have ended since.
    assert set(done) <= set(again[: len(done) + 10])
    assert sorted(again) == list(range(200))
    # No temporary file, no part, no lock.
    assert not [path for path in Path("out").rglob("*") if path.name.startswith(".")]


def test_variable_that_goes_out_of_scope_ends_the_run(workers):
    def look():
        calls = pmap.as_completed()
        return next(calls).index

    with ParallelMap(nap, range(200), output_dir="out", verbose=False) as pmap:
        look()
        assert open_results("out").missing

        def nothing_is_left():
            gc.collect()  # tracebacks of earlier tests refer to futures
            return not workers.futures

        wait_until(nothing_is_left)


def test_leaving_the_with_block_ends_the_run():
    with ParallelMap(nap, range(200), output_dir="out", verbose=False) as pmap:
        calls = pmap.as_completed()
        next(calls)
    assert next(calls, None) is None
    assert Path("out/nap.h5").exists()


def test_cleanup_within_the_loop_ends_it():
    seen = 0
    pmap = ParallelMap(nap, range(200), output_dir="out", verbose=False)
    for _ in pmap.as_completed():
        seen += 1
        pmap.cleanup()
    assert seen == 1
    assert Path("out/nap.h5").exists()


@pytest.mark.parametrize("in_event_loop", [True, False])
def test_garbage_collection_in_any_thread(workers, in_event_loop):
    """In dask's event loop as well: the run must not wait there for its answers."""

    class Ring:
        pass

    gc.disable()
    try:
        ring = Ring()
        ring.pmap = ParallelMap(nap, range(400), output_dir="out", verbose=False)
        ring.calls, ring.self = ring.pmap.as_completed(), ring
        next(ring.calls)
        ended = weakref.ref(ring.calls)
        del ring
        if in_event_loop:
            workers.loop.add_callback(gc.collect)
        else:
            thread = threading.Thread(target=gc.collect)
            thread.start()
            thread.join()
        wait_until(lambda: ended() is None)
    finally:
        gc.enable()
    wait_until(Path("out/nap.h5").exists)
    wait_until(lambda: not any(t.name == "acme-loop-end" for t in threading.enumerate()))
    # The folder is free, and the client works.
    with ParallelMap(nap, range(400), output_dir="out", verbose=False) as pmap:
        assert len(list(pmap.as_completed(resume=True))) == 400


def test_loop_that_is_left_at_its_last_call_is_complete(caplog):
    with ParallelMap(nap, range(20), output_dir="out") as pmap:
        for seen, _ in enumerate(pmap.as_completed()):
            if seen == 19:
                break
    assert "ended early" not in caplog.text
    assert not open_results("out").missing


def test_failures_of_a_loop_that_was_left():
    def g(x):
        if x % 2:
            raise ValueError(x)
        return nap(x)

    with ParallelMap(g, range(100), **MEMORY) as pmap:
        for call in pmap.as_completed():
            if call.status == "failed":
                break
        assert pmap.failures[call.index].type == "ValueError"


def test_debug_may_be_left(caplog):
    with ParallelMap(nap, range(20), output_dir="out") as pmap:
        leave(pmap, "break", debug=True)
    assert "5 of 20 calls are done" in caplog.text
    assert open_results("out").missing == list(range(5, 20))


# -- several runs ------------------------------------------------------------------------------


def test_run_within_a_loop():
    found = {}
    with ParallelMap(nap, range(60), output_dir="outer", verbose=False) as outer:
        for call in outer.as_completed():
            if call.index % 20 == 0:
                with ParallelMap(lambda x, y: x + y, range(50), call.values, **MEMORY) as inner:
                    found[call.index] = inner.compute()
        assert sorted(call.values for call in outer.results) == list(range(60))
    assert found == {y: [x + y for x in range(50)] for y in (0, 20, 40)}


def test_failed_run_within_a_loop_ends_both():
    outer = ParallelMap(nap, range(400), output_dir="outer", verbose=False)

    def run():
        for _ in outer.as_completed():
            ParallelMap(lambda x: 1 // x, [0, 1], **MEMORY).compute()

    with pytest.raises(ComputeError, match="1 of 2 calls"):
        run()
    assert open_results("outer").missing


def test_loops_that_take_turns():
    with (
        ParallelMap(nap, range(100), output_dir="a", verbose=False) as a,
        ParallelMap(nap, range(100), output_dir="b", **WAYS["single file"], verbose=False) as b,
        ParallelMap(nap, range(100), **MEMORY) as c,
    ):
        turns = zip(a.as_completed(), b.as_completed(), c.as_completed(), strict=True)
        seen = [(x.index, y.index, z.values) for x, y, z in turns]
    for one in zip(*seen, strict=True):
        assert sorted(one) == list(range(100))


def test_second_loop_of_one_object():
    with ParallelMap(nap, range(50), **MEMORY) as pmap:
        first = pmap.as_completed()
        seen = [next(first).index]
        assert sorted(call.values for call in pmap.as_completed()) == list(range(50))
        seen += [call.index for call in first]
    assert sorted(seen) == list(range(50))


def test_second_loop_in_the_same_folder_is_refused():
    with ParallelMap(nap, range(50), output_dir="out", verbose=False) as pmap:
        calls = pmap.as_completed()
        next(calls)
        with pytest.raises(OSError, match="out"):
            next(pmap.as_completed())
        assert len(list(calls)) == 49


def test_log_holds_the_messages_of_its_own_run():
    def inner(x):
        return x

    with ParallelMap(nap, range(20), output_dir="outer") as outer:
        for call in outer.as_completed():
            if call.index == 3:
                with ParallelMap(inner, range(3), output_dir="inner") as pmap:
                    pmap.compute()
    log = Path(outer.logfile).read_text()
    assert "Results are in" in log
    assert "inner" not in log.replace("inner-", "")
    assert "inner" in Path(pmap.logfile).read_text()


def test_messages_are_shown_while_a_loop_is_open():
    logger = logging.getLogger("acme_core")
    before = logger.level, list(logger.handlers)
    with ParallelMap(nap, range(20), write_worker_results=False) as pmap:
        for _ in pmap.as_completed():
            assert logger.level == logging.INFO
    assert (logger.level, list(logger.handlers)) == before


# -- memory ------------------------------------------------------------------------------------


def traced_peak(n_calls, **options):
    def g(x):
        return np.full(1000, x)

    tracemalloc.start()
    try:
        with ParallelMap(g, range(n_calls), **options) as pmap:
            for call in pmap.as_completed():
                assert call.values[0] == call.index
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_number_of_calls():
    """Arrays of 8 kB: at most those of the batches in flight are in memory, half a second each."""
    traced_peak(100, **MEMORY)
    assert traced_peak(60_000, **MEMORY) < 300_000_000  # all arrays: 480 MB, and as much pickled


def test_memory_with_a_slow_loop():
    """Workers that are quicker than the loop are held back."""
    began = []

    def g(x, folder):
        Path(folder, str(x)).touch()
        time.sleep(0.001)
        return np.full(1_000, x)

    folder = Path("began")
    folder.mkdir()
    with ParallelMap(g, range(6_000), str(folder.resolve()), **MEMORY) as pmap:
        for taken, _ in enumerate(pmap.as_completed()):
            time.sleep(0.05 if taken < 100 else 0)
            if taken < 100:
                began.append(len(list(folder.iterdir())))
            if taken == 150:
                break
    # In five seconds, the workers could have made all of them. Four batches of at most half a
    # second are in flight.
    assert began[-1] < 4_500


def test_kept_calls_keep_their_own_value_only():
    def g(x):
        return np.full(10_000, x)

    with ParallelMap(g, range(500), **MEMORY) as pmap:
        calls = pmap.as_completed()
        first = next(calls)
        others = [weakref.ref(call.values) for call in calls]
    assert first.values[0] == first.index
    gc.collect()
    assert sum(other() is not None for other in others) <= 1


def test_nothing_is_left_of_loops(workers):
    def run():
        with ParallelMap(nap, range(30), **MEMORY) as pmap:
            leave(pmap, "break")

    run()
    loggers = [logging.getLogger(name) for name in ("acme_core", "acme_io", "acme_cluster")]
    handlers = sum(len(logger.handlers) for logger in loggers)
    for _ in range(5):
        run()
    gc.collect()
    assert sum(len(logger.handlers) for logger in loggers) == handlers
    assert not outcome_events._receivers
    wait_until(lambda: not workers.futures and not workers.cluster.scheduler.tasks)
