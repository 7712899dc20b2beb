"""A `ParallelMap` inside a call of another one."""

import os
import subprocess
import sys
import threading

import pytest

from acme_core import ComputeError, ParallelMap, each

pytestmark = pytest.mark.usefixtures("workers")


def double(x):
    return 2 * x, os.getpid()


def inner(*args, compute=None, **options):
    options = {"write_worker_results": False} | options
    with ParallelMap(*args, **options) as pmap:
        return pmap.compute(**(compute or {}))


def test_inner_calls_run_in_the_process_of_the_outer_call(in_memory, children):
    def outer(x):
        return inner(double, [x, x + 1], verbose=False), os.getpid()

    before = children()
    for call, (values, pid) in enumerate(in_memory(outer, range(6))):
        assert values == [(2 * call, pid), (2 * call + 2, pid)]
        assert pid != os.getpid()
    assert children() == before


@pytest.mark.parametrize("debug", [False, True])
def test_inner_results_on_disk(in_memory, tmp_path, debug):
    def outer(x):
        folder = f"{tmp_path}/{x}"
        return inner(double, [x, x + 1], write_worker_results=True, output_dir=folder)

    for x, files in enumerate(in_memory(outer, [0, 1], compute={"debug": debug})):
        assert files == [f"{tmp_path}/{x}/double_payload/double_{i}.h5" for i in range(2)]
        assert all(map(os.path.exists, files))
        assert os.path.exists(f"{tmp_path}/{x}/double.h5")


def test_in_a_thread_of_a_call(in_memory):
    def outer(x):
        found = []
        thread = threading.Thread(target=lambda: found.extend(inner(double, [x], verbose=False)))
        thread.start()
        thread.join()
        return found == [(2 * x, os.getpid())]

    assert in_memory(outer, [1, 2]) == [True, True]


def test_failed_inner_calls(in_memory):
    def outer(x):
        def inverse(y):
            seen.append(y)
            return 1 // y

        seen, found = [], []
        for options in ({"on_error": "keep"}, {"on_error": "stop"}, {"retries": 2}, {}):
            try:
                found.append(inner(inverse, each(iter([1, 0, 2])), n_inputs=3, compute=options))
            except ComputeError as error:
                found.append((sorted(error.failures), error.results))
        return found

    keep, stop, retries, plain = in_memory(outer, [1, 2])[0]
    assert keep == [1, None, 0]
    assert stop == ([1], [1, None, None])
    assert retries == plain == ([1], [1, None, 0])


def test_further_attempts(in_memory):
    def outer(x):
        attempts = []

        def third_time(y):
            attempts.append(y)
            if y == 1 and attempts.count(1) < 3:
                raise ValueError("not yet")
            return len(attempts)

        return inner(third_time, [0, 1, 2], compute={"retries": 2}), attempts

    assert in_memory(outer, [1]) == [([1, 5, 3], [0, 1, 2, 1, 1])]


def test_it_is_said_once(empty_folder, capsys, monkeypatch):
    monkeypatch.setattr("acme_core.run.nested._said", False)

    def outer(x):
        return inner(double, [x]) + inner(double, [x])

    ParallelMap(outer, [1, 2], write_worker_results=False).compute(debug=True)
    assert capsys.readouterr().err.count("inside a call of another one") == 1


def test_afterwards_workers_are_used_again(in_memory):
    in_memory(lambda x: inner(double, [x]), [1, 2], compute={"debug": True})
    assert {pid for _, pid in in_memory(double, [1, 2])} & {os.getpid()} == set()


# A program may be a process of `multiprocessing` itself, and use its own threads as workers.
SCRIPT = """
import multiprocessing, os
from acme_core import ParallelMap
from distributed import Client
def pid(x):
    return os.getpid()
def program(threads):
    if threads:
        with Client(processes=False, dashboard_address=None) as client:
            ParallelMap(pid, [1], write_worker_results=False, verbose=False).compute()
    with ParallelMap(
        pid, [1, 2], write_worker_results=False, verbose=False, dryrun=True, setup_interactive=False
    ) as pmap:
        print(os.getpid() in pmap.compute(), flush=True)
if __name__ == "__main__":
    for threads in (False, True):
        child = multiprocessing.get_context("spawn").Process(target=program, args=(threads,))
        child.start()
        child.join()
"""


def test_no_call_is_around_a_program_in_a_child_process(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py"], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"], done.stderr
