"""Batches of many seconds, as hundreds of workers have them: reported, stopped and taken back."""

import os
import time
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from acme_core import ComputeError, ParallelMap
from acme_core.engine import engine, in_flight

WAYS = [
    {},
    {"result_shape": (None,)},
    {"result_shape": (None,), "single_file": True},
    {"single_file": True},
    {"write_pickle": True},
    {"write_worker_results": False},
]


@pytest.fixture(autouse=True)
def long_batches(monkeypatch):
    """Let two workers have the batches of hundreds: ten seconds each."""
    monkeypatch.setattr("acme_core.engine.batch_sizing.BATCHES_PER_SECOND", 0.2)


@pytest.fixture(params=[False, True], ids=["dask chooses", "engine chooses"])
def either_choice(request, monkeypatch):
    """Let dask, or the engine, choose the worker of each batch."""
    if request.param:
        monkeypatch.setattr(engine, "_MANY_WORKERS", 1)


def evaluated(folder):
    """Return the numbers of the calls that were begun, once for each time."""
    return sorted(int(path.name.split("-")[0]) for path in Path(folder).iterdir())


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_killed_worker_loses_what_it_did_in_half_a_second(workers, tmp_path, way):
    begun = tmp_path / "begun"
    begun.mkdir()

    def nap(x, folder):
        first_time = not any(Path(folder).glob(f"{x}-*"))
        Path(folder, f"{x}-{time.time_ns()}").touch()
        time.sleep(0.05)
        if x == 60 and first_time:
            os._exit(1)
        return float(x)

    with ParallelMap(nap, range(160), str(begun), n_inputs=160, verbose=False, **way) as pmap:
        results = pmap.compute()
    again = len(evaluated(begun)) - 160
    # Of a batch of at least 40 calls: half a second of them, and the one that ended the worker.
    assert 1 <= again <= 16
    assert sorted(set(evaluated(begun))) == list(range(160))
    if way.get("write_worker_results", True):
        if pmap.results is not None:
            assert [call.values for call in pmap.results] == [float(x) for x in range(160)]
    else:
        assert results == [float(x) for x in range(160)]


def test_first_failure_stops_long_batches(workers, tmp_path, either_choice):
    """The calls that other batches have finished by then are kept."""
    begun = tmp_path / "begun"
    begun.mkdir()

    def nap(x, folder):
        Path(folder, f"{x}-0").touch()
        time.sleep(0.02)
        if x == 150:
            raise ValueError("stop here")
        return x

    pmap = ParallelMap(
        nap, range(2000), str(begun), n_inputs=2000, write_worker_results=False, verbose=False
    )
    with pmap, pytest.raises(ComputeError) as caught:
        pmap.compute(on_error="stop")
    done = [x for x in caught.value.results if x is not None]
    n_begun = len(evaluated(begun))
    assert n_begun < 1000
    # One worker was at the failed call; the other had to end the call that it was at.
    assert len(done) >= n_begun - 3
    time.sleep(0.1)
    assert len(evaluated(begun)) <= n_begun + 1


def test_calls_behind_a_long_one_run_elsewhere(in_memory, workers, tmp_path, either_choice):
    """A call that waits for all others gets to its end."""
    n = 60

    def wait_for_others(x, folder):
        Path(folder, f"{x}-{time.time_ns()}").touch()
        if x == 20:
            deadline = time.monotonic() + 30
            while len(evaluated(folder)) < n and time.monotonic() < deadline:
                time.sleep(0.01)
        else:
            time.sleep(0.02)
        return x

    def evaluated(folder):
        return {path.name.split("-")[0] for path in Path(folder).iterdir()}

    begun = tmp_path / "begun"
    begun.mkdir()
    start = time.monotonic()
    assert in_memory(wait_for_others, range(n), str(begun), n_inputs=n) == list(range(n))
    # Nothing was evaluated twice, and the call did not have to give up waiting.
    assert len(list(begun.iterdir())) == n
    assert time.monotonic() - start < 30


def test_results_are_complete_if_reports_are_lost(workers, monkeypatch):
    """The calls of a part whose outcome cannot be read run again."""
    unpack, lost = in_flight.large_objects.unpack_outcome, []

    def lose_parts(content):
        outcome = unpack(content)
        if outcome.n_calls and not lost:
            lost.append(outcome)
            raise FileNotFoundError("cleared")
        return outcome

    monkeypatch.setattr(in_flight.large_objects, "unpack_outcome", lose_parts)

    def nap(x):
        time.sleep(0.05)
        return x

    with ParallelMap(nap, range(100), write_worker_results=False, verbose=False) as pmap:
        assert pmap.compute() == list(range(100))
    assert lost


def test_killer_ends_few_workers_where_dask_repeats_tasks(empty_folder, monkeypatch):
    """On clusters that allow tasks to fail, dask keeps a batch for its worker, which is gone."""
    monkeypatch.setattr(engine, "_MANY_WORKERS", 1)
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0")
    with cluster, Client(cluster) as client:
        client.wait_for_workers(2)

        def g(x):
            time.sleep(0.01)
            if x == 30:
                os._exit(1)
            return x

        pmap = ParallelMap(g, range(60), write_worker_results=False, verbose=False)
        with pmap, pytest.raises(ComputeError, match="WorkerDiedError") as caught:
            pmap.compute()
        assert caught.value.results == [None if x == 30 else x for x in range(60)]
