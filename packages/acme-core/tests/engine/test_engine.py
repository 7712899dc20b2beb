"""Batches are bounded in number, never merged, and cut up if their worker dies."""

import os
import threading
import time
from pathlib import Path
from signal import SIGKILL

import numpy as np
import pytest
from distributed import get_worker

from acme_core import ComputeError, ParallelMap, each
from acme_core.engine.engine import Engine


@pytest.fixture
def most_futures(workers):
    """The largest number of futures that the client holds during a test."""
    most, ended = [0], threading.Event()

    def watch():
        while not ended.wait(0.002):
            most[0] = max(most[0], len(workers.futures))

    thread = threading.Thread(target=watch)
    thread.start()
    yield most
    ended.set()
    thread.join()


def test_futures_stay_within_the_window(in_memory, most_futures):
    """Two batches for each of two workers, however many calls there are."""
    n = 200_000
    assert in_memory(lambda x: x, range(n)) == list(range(n))
    # Finished futures are released a moment after their outcomes were fetched.
    assert 0 < most_futures[0] <= 8


def test_scheduler_forgets_the_run(in_memory, workers):
    in_memory(lambda x: x, range(1000))

    def tasks(dask_scheduler):
        return [key for key in dask_scheduler.tasks if "acme" in str(key)]

    deadline = time.monotonic() + 20
    while workers.run_on_scheduler(tasks):
        assert time.monotonic() < deadline


def test_items_are_read_within_the_window(in_memory, workers, tmp_path):
    """An item is drawn when its batch is sent: at most two batches for each of two workers."""
    ahead = []

    def items():
        for i in range(200):
            ahead.append(i - len(list(tmp_path.iterdir())))
            yield i

    def nap(x, folder):
        time.sleep(0.05)
        Path(folder, str(x)).touch()
        return x

    results = in_memory(nap, each(items()), str(tmp_path), n_inputs=200)
    assert results == list(range(200))
    # Four calls of 0.05 s make a batch of a fifth of a second; the first estimate may be off.
    assert max(ahead) <= 4 * 8


def test_files_of_large_arguments_are_removed_after_their_calls(in_memory, workers, tmp_path):
    """Files are removed while the run goes on."""

    def held(x):
        folders = [
            p for p in Path("/dev/shm").glob(".acme-handover-*") if p.stat().st_uid == os.getuid()
        ]
        return max(len(list(folder.iterdir())) for folder in folders)

    # Four batches of at most 32 MB are in flight.
    arrays = [np.full(1_000_000, i, float) for i in range(60)]
    assert max(in_memory(lambda x, a: held(x), range(60), arrays)) < 30
    assert not any(Path("/dev/shm").glob(f".acme-handover-*{os.getpid()}"))


def test_batch_of_a_dead_worker_is_cut_up(in_memory, workers, tmp_path):
    """Only the neighbours of a call that ends its worker run again."""
    marks = tmp_path / "marks"
    marks.mkdir()

    def g(x, folder):
        Path(folder, f"{x}-{time.time_ns()}").touch()
        if x in (77, 1234):
            os._exit(1)
        return x

    with pytest.raises(ComputeError) as caught:
        in_memory(g, range(2000), str(marks))
    assert sorted(caught.value.failures) == [77, 1234]
    assert caught.value.results == [None if x in (77, 1234) else x for x in range(2000)]
    runs = np.bincount([int(p.name.split("-")[0]) for p in marks.iterdir()], minlength=2000)
    # Once in the first batch, once in each piece that still had neighbours, twice alone.
    assert 3 <= min(runs[77], runs[1234]) <= max(runs[77], runs[1234]) <= 6
    assert runs.min() == 1


def test_batch_for_a_dead_worker_runs_elsewhere(in_memory, workers, monkeypatch):
    """dask holds a batch back for the chosen worker if no worker exists when it is submitted."""
    submit, submitted = Engine._submit, []

    def submit_without_workers(engine, assignments):
        submitted.append(assignments)
        if len(submitted) == 6:
            for pid in workers.run(os.getpid).values():
                os.kill(pid, SIGKILL)
            while workers.nthreads():
                time.sleep(0.001)
        submit(engine, assignments)

    monkeypatch.setattr("acme_core.engine.engine._MANY_WORKERS", 1)
    monkeypatch.setattr(Engine, "_submit", submit_without_workers)
    assert in_memory(lambda x: time.sleep(0.05) or x, range(100)) == list(range(100))
    assert len(submitted) > 6


def test_many_workers_get_equal_numbers_of_calls(in_memory, workers, monkeypatch):
    monkeypatch.setattr("acme_core.engine.engine._MANY_WORKERS", 1)
    submit, given = Engine._submit, []

    def submit_and_record(engine, assignments):
        given.append([assignment.worker for assignment in assignments])
        submit(engine, assignments)

    monkeypatch.setattr(Engine, "_submit", submit_and_record)
    ran_on = in_memory(lambda x: time.sleep(0.06) or get_worker().address, range(64))
    # First one batch per worker, then one that waits behind it.
    assert sorted(given[0]) == sorted(given[1]) == sorted(workers.nthreads())
    assert 28 <= ran_on.count(given[0][0]) <= 36


def test_calls_on_disk_survive_the_death_of_their_worker(workers):
    def g(x):
        if x == 30:
            os._exit(1)
        return x

    with pytest.raises(ComputeError) as caught, ParallelMap(g, range(60), verbose=False) as pmap:
        pmap.compute()
    assert list(caught.value.failures) == [30]
    assert pmap.results.failed == [30]
    assert [call.values for call in pmap.results if call.status == "done"] == [
        x for x in range(60) if x != 30
    ]


@pytest.mark.parametrize("signal", [6, 9, 11])
def test_signal_that_kills_a_worker_fails_the_call(in_memory, workers, signal):
    def g(x):
        if x == 1:
            os.kill(os.getpid(), signal)
        return x

    with pytest.raises(ComputeError, match="WorkerDiedError") as caught:
        in_memory(g, range(4))
    assert caught.value.results == [0, None, 2, 3]


def test_simultaneous_runs_do_not_mix(in_memory, workers):
    results = {}

    def run(name, offset):
        results[name] = in_memory(lambda x: x + offset, range(3000))

    threads = [threading.Thread(target=run, args=(i, i * 10)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {i: [x + i * 10 for x in range(3000)] for i in range(3)}


def test_results_of_uneven_calls_are_in_order(in_memory, workers):
    def nap(seconds):
        time.sleep(seconds)
        return seconds

    seconds = [0.3 if i % 25 == 0 else 0.001 for i in range(100)]
    assert in_memory(nap, seconds) == seconds


def test_unpicklable_argument_fails_only_its_call(in_memory, workers):
    items = [[1], threading.Lock(), [3]]
    with pytest.raises(ComputeError, match="cannot be sent to a worker") as caught:
        in_memory(lambda x: x, items)
    assert caught.value.results == [[1], None, [3]]


@pytest.mark.parametrize("n", [2, 4])
def test_wrong_number_of_items(in_memory, workers, n):
    with pytest.raises(
        ValueError, match=f"n_inputs is 3, but `x` has .*{n if n < 3 else 'more than 3'}"
    ):
        in_memory(lambda x: x, each(iter(range(n))), n_inputs=3)


def large(x):
    return np.full(200_000, float(x)), {"n": np.arange(x)}


def test_large_results_are_complete_and_writable(in_memory, workers):
    results = in_memory(large, range(40))
    for call, (array, others) in enumerate(results):
        assert (array == call).all()
        assert others["n"].size == call
        array += 1
    assert (results[3][0] == 4).all()
    assert (results[4][0] == 5).all()
