"""Calls in this process: few files, no reading ahead, and finished calls are kept."""

import importlib
import itertools
import threading
import time

import numpy as np
import pytest

from acme_core import ParallelMap, each
from acme_io import open_results
from acme_io.storage.single_file.sink import PartWriter

WAYS = [
    {},
    {"single_file": True},
    {"write_pickle": True},
    {"result_shape": (None,)},
    {"result_shape": (None,), "single_file": True},
]


def debugged(func, *args, **options):
    with ParallelMap(func, *args, verbose=False, **options) as pmap:
        pmap.compute(debug=True)
    return pmap


@pytest.mark.parametrize("single", [{}, {"result_shape": (None,)}])
def test_calls_share_part_files(empty_folder, monkeypatch, single):
    opened = []
    sink = "StackedPartSink" if single else "PartSink"
    way = "stacked" if single else "single_file"
    path = f"acme_io.storage.{way}.sink.{sink}.open"
    before = getattr(importlib.import_module(f"acme_io.storage.{way}.sink"), sink).open
    monkeypatch.setattr(path, lambda sink, calls: opened.append(calls) or before(sink, calls))
    pmap = debugged(lambda x: x, range(2000), single_file=True, **single)
    assert [call.values for call in pmap.results] == list(range(2000))
    # One, two, four ... calls: eleven batches, and one more for each half second that it took.
    assert len(opened) < 100
    assert opened[0] == range(1)


@pytest.mark.parametrize("options", WAYS)
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_finished_calls_are_kept(empty_folder, options, error):
    def g(x):
        if x == 6:
            raise error("here")
        return x * 10

    pmap = ParallelMap(g, range(9), output_dir="out", verbose=False, **options)
    with pytest.raises(error, match="here"):
        pmap.compute(debug=True)
    results = open_results("out", allow_pickle=True)
    assert [results[call].values for call in range(6)] == [0, 10, 20, 30, 40, 50]
    assert results.missing == [6, 7, 8]


@pytest.mark.parametrize("options", WAYS)
def test_a_killed_process_loses_the_calls_of_one_batch_time(empty_folder, monkeypatch, options):
    monkeypatch.setattr("acme_core.worker.evaluation.BATCH_SECONDS", 0.1)
    not_in_files = []

    def g(x):
        time.sleep(0.01)
        if x in (60, 125):  # the last calls of batches, if only their number counted
            done = open_results("out", allow_pickle=True).status.count("done")
            not_in_files.append(x - done)
        return float(x)

    ParallelMap(g, range(126), output_dir="out", verbose=False, **options).compute(debug=True)
    assert len(not_in_files) == 2
    assert max(not_in_files) <= 11


def test_interrupt_while_a_result_is_stored(empty_folder, monkeypatch):
    """Ctrl-C may come at any point: earlier calls are complete, the current one is missing."""
    store = PartWriter._store

    def interrupted(writer, report, value, at):
        status = store(writer, report, value, at)
        if report.call == 5:
            raise KeyboardInterrupt
        return status

    monkeypatch.setattr(PartWriter, "_store", interrupted)
    pmap = ParallelMap(np.sqrt, range(9), output_dir="out", single_file=True, verbose=False)
    with pytest.raises(KeyboardInterrupt):
        pmap.compute(debug=True)
    results = open_results("out")
    assert [results[call].values for call in range(5)] == [np.sqrt(call) for call in range(5)]
    assert results.missing == [5, 6, 7, 8]


def test_generator_does_not_run_ahead(empty_folder):
    drawn = itertools.count()

    def items():
        for _ in range(20):
            yield next(drawn)

    def g(x):
        return x, drawn.__reduce__()[1][0]

    pmap = ParallelMap(g, each(items()), n_inputs=20, write_worker_results=False, verbose=False)
    assert pmap.compute(debug=True) == [(x, x + 1) for x in range(20)]


def test_result_that_cannot_be_stored_ends_the_run(empty_folder):
    evaluated = []

    def g(x):
        evaluated.append(x)
        return np.zeros(2 if x == 0 else 3)

    pmap = ParallelMap(g, range(50), result_shape=(None, 3), verbose=False)
    with pytest.raises(ValueError, match="Call 0"):
        pmap.compute(debug=True)
    assert evaluated == [0]


@pytest.mark.parametrize("dryrun", [False, True])
def test_arguments_are_not_changed(empty_folder, dryrun):
    """Each call gets its own copy, as on a worker."""

    def g(x, items, numbers):
        items.append(x)
        numbers += 1
        return len(items), float(numbers[0])

    items, numbers = [[0]] * 3, np.zeros(2)
    pmap = ParallelMap(
        g, range(3), items, numbers, n_inputs=3, dryrun=dryrun, write_worker_results=False
    )
    assert pmap.compute(debug=True) == [(2, 1.0)] * 3
    assert items == [[0]] * 3
    assert numbers.tolist() == [0, 0]


def test_unpicklable_arguments_are_passed_uncopied(empty_folder):
    lock = threading.Lock()
    pmap = ParallelMap(lambda x: x.locked(), [lock] * 2, write_worker_results=False, verbose=False)
    assert pmap.compute(debug=True) == [False, False]
