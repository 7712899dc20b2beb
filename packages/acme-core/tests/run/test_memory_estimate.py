"""The memory of calls, measured with real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import psutil

from acme_core import each
from acme_core.arguments.distribution import distribute
from acme_core.run.spec import RunSpec
from acme_core.run.trials import memory_estimate
from acme_core.run_options import MapOptions

MB = 1024 * 1024


def measured(func, *args, n_inputs="auto", **kwargs):
    spec = RunSpec(func, distribute(func, args, kwargs, n_inputs), MapOptions())
    return memory_estimate.measure(spec, 1)


def fill(megabytes):
    return float(np.ones(megabytes * MB // 8).sum())


def test_peak_of_one_call_does_not_affect_another(empty_folder):
    small, large = measured(fill, [1, 300])
    assert (small.call, large.call) == (0, 1)
    assert 300 * MB < large.peak < 500 * MB
    assert 30 * MB < small.peak < 200 * MB
    assert all(one.error is None and one.complete for one in (small, large))
    assert os.listdir(empty_folder) == []


def test_memory_of_this_process_does_not_count(empty_folder):
    held = np.ones(400 * MB // 8)
    (one,) = measured(abs, [1])
    assert one.peak < held.nbytes


def test_memory_of_child_processes_counts(empty_folder):
    def in_a_child(megabytes):
        code = f"import time; held = b'x' * ({megabytes} * 1024 * 1024); time.sleep(0.3)"
        return subprocess.run([sys.executable, "-c", code], check=True).returncode

    small, large = measured(in_a_child, [1, 200])
    assert large.peak - small.peak > 150 * MB


def test_at_most_five_calls_run_and_random_state_is_unchanged(empty_folder):
    np.random.seed(5)
    expected = np.random.RandomState(5).rand()
    calls = [one.call for one in measured(abs, list(range(1000)))]
    assert len(calls) == len(set(calls)) == memory_estimate.MOST_CALLS
    assert np.random.rand() == expected


def test_failed_and_killed_calls_are_reported(empty_folder):
    def end(how):
        if how == "raise":
            raise ValueError("no such thing")
        os._exit(3)

    raised, died = measured(end, ["raise", "die"])
    assert raised.error == "ValueError: no such thing"
    assert died.error == "its process ended with code 3"


class SecondsUntil:
    """A time limit that ends when a file exists, independent of the speed of the machine."""

    def __init__(self, path):
        self._path = path

    def __gt__(self, seconds):
        return not self._path.exists()


def test_long_call_is_killed_with_its_children(empty_folder, monkeypatch, children, tmp_path):
    def never_ends(path):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
        with open(f"{path}.tmp", "w") as file:
            file.write(str(child.pid))
        os.rename(f"{path}.tmp", path)
        time.sleep(1000)

    monkeypatch.setattr(memory_estimate, "SECONDS", SecondsUntil(tmp_path / "pid"))
    before = children()
    (one,) = measured(never_ends, [str(tmp_path / "pid")])
    assert not one.complete
    assert one.error is None
    assert one.peak > 10 * MB
    assert children() == before
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not psutil.pid_exists(pid)


def test_items_of_a_generator_are_kept_for_the_run(empty_folder):
    items = distribute(abs, (each(-i for i in range(3)),), {}, 3)
    assert [one.call for one in memory_estimate.measure(RunSpec(abs, items, MapOptions()), 1)] == [
        0
    ]
    assert items.columns(0, 3) == ([0, -1, -2],)


def test_probe_has_shared_arguments_and_the_clients_folder(empty_folder):
    (empty_folder / "data.txt").write_text("12")

    def read(name, add):
        with open(name) as file:
            if int(file.read()) + add[0] != 20:
                raise ValueError("wrong")

    assert [one.error for one in measured(read, ["data.txt"], [8, 9], n_inputs=1)] == [None]
