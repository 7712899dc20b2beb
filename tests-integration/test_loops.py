"""Loops over the calls of a run, in programs of their own: nothing is lost, nothing is left."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import acme_io

WAYS = {
    "one file per call": {},
    "stacked": {"result_shape": (None, 2)},
    "stacked single file": {"result_shape": (None, 2), "single_file": True},
    "single file": {"single_file": True},
    "pickled": {"write_pickle": True},
}

SCRIPT = """\
import os, signal, sys, time
import numpy as np
from acme import ParallelMap

client, how = os.getpid(), sys.argv[1]

def f(x):
    time.sleep(0.02)
    if x == 13 and how in ("SIGINT within", "SIGTERM within"):
        os.kill(client, getattr(signal, how.split()[0]))
    return np.full(2, float(x))

pmap = ParallelMap(f, range(100), output_dir="out", n_workers=2, **%r)

def loop():
    for seen, call in enumerate(pmap.as_completed(resume=how == "resume")):
        assert (call.values == float(call.index)).all()
        if seen < 10 or how == "resume":
            continue
        if how == "break":
            break
        if how == "raise":
            raise KeyError("of the loop")
        if how in ("SIGINT", "SIGTERM", "SIGHUP"):
            os.kill(client, getattr(signal, how))
            time.sleep(10)

if how == "variable":
    calls = pmap.as_completed()
    for _ in range(10):
        next(calls)
elif how == "variable and exit":
    calls = pmap.as_completed()
    next(calls)
    sys.exit(3)
elif how == "no with":
    loop()
else:
    with pmap:
        loop()
    if how in ("break", "resume"):
        print(pmap.client)
"""


def default_signals() -> None:
    """Restore signals that `nohup` and background jobs of a shell ignore."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def run_until_end(folder: Path, how: str) -> subprocess.CompletedProcess[str]:
    """Run the script in a new session; check that it leaves no process."""
    process = subprocess.Popen(
        [sys.executable, "script.py", how],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=default_signals,
    )
    out, err = process.communicate(timeout=120)
    deadline = time.monotonic() + 20
    while left := [p for p in psutil.process_iter(["cwd"]) if p.info["cwd"] == str(folder)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
    return subprocess.CompletedProcess([], process.returncode, out, err)


CODES = {
    "break": 0,
    "raise": 1,
    "variable": 0,
    "variable and exit": 3,
    "SIGINT": -signal.SIGINT,
    "SIGINT within": -signal.SIGINT,
    "SIGTERM": 128 + signal.SIGTERM,
    "SIGTERM within": 128 + signal.SIGTERM,
    "SIGHUP": 128 + signal.SIGHUP,
}


# Every reason with one way of storing, and the most different ones with all ways.
CASES = [("single file", how) for how in CODES] + [
    (way, how)
    for way in WAYS
    if way != "single file"
    for how in ("break", "variable", "SIGINT", "SIGTERM within")
]


@pytest.mark.parametrize(("way", "how"), CASES)
def test_loop_that_is_left_early(tmp_path: Path, way: str, how: str) -> None:
    (tmp_path / "script.py").write_text(SCRIPT % WAYS[way])
    ended = run_until_end(tmp_path, how)
    assert ended.returncode == CODES[how], ended.stderr
    assert "compute(resume=True)" in ended.stderr, ended.stderr
    assert "Exception ignored" not in ended.stderr, ended.stderr
    assert ended.stderr.count("Traceback") == (how == "raise" or "SIGINT" in how), ended.stderr
    out = tmp_path / "out"
    with acme_io.open_results(out, allow_pickle=True) as before:
        done = set(range(100)) - set(before.missing)
        assert len(done) >= (1 if "exit" in how else 10)
        assert all((before[call].values == float(call)).all() for call in done)
    assert (out / ("f_record.h5" if way == "pickled" else "f.h5")).exists()
    again = run_until_end(tmp_path, "resume")
    assert again.returncode == 0, again.stderr
    assert "WARNING" not in again.stderr, again.stderr
    with acme_io.open_results(out, allow_pickle=True) as results:
        assert not results.missing
        assert [call.values[1] for call in results] == list(range(100))


def test_program_without_a_with_block(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT % {})
    ended = run_until_end(tmp_path, "no with")
    assert ended.returncode == 0, ended.stderr
    assert not acme_io.open_results(tmp_path / "out").missing


MEMORY = """\
import resource
from acme import ParallelMap

def f(x):
    return x, float(x)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

with ParallelMap(f, range(200), write_worker_results=False, n_workers=2, verbose=False) as pmap:
    for call in pmap.as_completed():
        pass
    before = peak()
    with ParallelMap(f, range(1_000_000), write_worker_results=False, verbose=False) as many:
        total = sum(call.values[0] for call in many.as_completed())
    assert total == 999_999 * 500_000
    print(peak() - before)
"""


def test_memory_of_a_million_calls(run_python) -> None:
    # Tuples of two numbers take 120 bytes each in a list.
    assert float(run_python("-c", MEMORY).stdout) < 60
