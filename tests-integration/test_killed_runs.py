"""SIGKILL of workers and of the client while a run writes: no finished call is lost.

Each run is a separate script. Its calls record when they return a value to be stored, so the tests
can time kills to hit writes, and temporary files show that they did.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

import acme_io
from acme_io.files.header import read_header
from acme_io.layout import parse_payload_name

KILLS = 17  # processes per storage layout; three layouts, 51 in total
N_CALLS = 60
# Elements of a result. Large enough for a write to take a noticeable time.
LENGTH = {"one file per call": 300_000, "stacked": 100_000, "single file": 100_000}

WAYS = {
    "one file per call": {},
    "stacked": {"result_shape": (None, 100_000)},
    "single file": {"single_file": True},
}

SCRIPT = """\
import os, sys, time
import numpy as np
from acme import ParallelMap

resume = sys.argv[1] == "resume"

def f(x):
    time.sleep(0.004)
    with open("notes", "a") as notes:
        notes.write(f"{os.getpid()}\\n")
    return np.full(%d, float(x))

options = dict(output_dir="out", n_workers=2, verbose=False, logfile=False)
with ParallelMap(f, range(%d), **options, **%r) as pmap:
    pmap.compute(resume=resume)
    assert len(pmap.results) == %d and not pmap.results.missing
print("finished", flush=True)
"""


@contextlib.contextmanager
def started(folder: Path, way: str, mode: str) -> Iterator[subprocess.Popen[str]]:
    """Run the script; kill it and its descendants at the end."""
    source = SCRIPT % (LENGTH[way], N_CALLS, WAYS[way], N_CALLS)
    (folder / "script.py").write_text(source)
    process = subprocess.Popen(
        [sys.executable, "script.py", mode],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    family = psutil.Process(process.pid)
    try:
        yield process
    finally:
        left = [process.pid]
        with contextlib.suppress(psutil.NoSuchProcess):
            left += [child.pid for child in family.children(recursive=True)]
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.communicate()


def notes(folder: Path) -> list[str]:
    """Return the worker's process id of each value returned so far."""
    with contextlib.suppress(FileNotFoundError):
        return (folder / "notes").read_text().split()
    return []


def wait_for_calls(folder: Path, more: int, process: subprocess.Popen[str]) -> list[str]:
    """Wait for `more` further return values or the end of the run."""
    goal, deadline = len(notes(folder)) + more, time.monotonic() + 30
    while len(found := notes(folder)) < goal and process.poll() is None:
        assert time.monotonic() < deadline, "the run makes no progress"
        time.sleep(0.0005)
    return found


def temporary_files(folder: Path) -> list[str]:
    """Return temporary files of workers: being written, or left by a killed worker."""
    found = []
    for place in ("f_payload", ".f_parts"):
        with contextlib.suppress(FileNotFoundError):
            found += [name for name in os.listdir(folder / "out" / place) if name.endswith(".tmp")]
    return found


def wait_for_a_write(folder: Path, seconds: float) -> None:
    """Wait until a file is being written, for at most `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not temporary_files(folder):
        pass


def finished_calls(folder: Path, length: int) -> set[int]:
    """Check every file with its final name; return the finished calls."""
    out = folder / "out"
    files = [
        path for path in out.rglob("*.h5") if not any(part.endswith(".tmp") for part in path.parts)
    ]
    assert all(parse_payload_name(path.name) or path.name == "f.h5" for path in files)
    for path in files:
        read_header(path, check="all")
    if not files:
        return set()
    with acme_io.open_results(out) as results:
        done = {call.number for call in results if call.status == "done"}
        for number in done:
            assert (results[number].values == np.full(length, float(number))).all()
    return done


@pytest.fixture(autouse=True)
def temporary_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put temporary files of killed programs into a folder that the test removes.

    pytest's own folder is too deep: a socket's path has at most 107 characters (unix(7)).
    """
    with tempfile.TemporaryDirectory(prefix="kill-", ignore_cleanup_errors=True) as folder:
        monkeypatch.setenv("TMPDIR", folder)
        yield


@pytest.mark.parametrize("way", WAYS)
def test_no_finished_call_is_lost(tmp_path: Path, way: str) -> None:
    rng = random.Random(way)
    kills = hits = number = 0
    while kills < KILLS:
        folder = tmp_path / str(number)
        folder.mkdir()
        number += 1
        mode, before = "begin", set()
        for _ in range(3):  # kill a run, resume it, kill it again
            with started(folder, way, mode) as process:
                for victim in ("worker", "client"):
                    seen = wait_for_calls(folder, rng.randrange(4, 14), process)
                    if process.poll() is not None:
                        break
                    if kills % 2:
                        wait_for_a_write(folder, 0.3)
                    else:
                        time.sleep(rng.random() * 0.0015)
                    pid = int(seen[-1]) if victim == "worker" else process.pid
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                        kills += 1
                        hits += bool(temporary_files(folder))
            done = finished_calls(folder, LENGTH[way])
            assert before <= done, "finished calls were lost"
            before, mode = done, "resume" if done else mode
            if not done:
                break
        if before and kills >= KILLS:
            with started(folder, way, "resume") as process:
                output, _ = process.communicate(timeout=60)
                assert "finished" in output, output
            assert finished_calls(folder, LENGTH[way]) == set(range(N_CALLS))
            assert not list((folder / "out").rglob(".*")), "temporary files or the claim are left"
    assert hits >= 3, "the kills did not hit during writes"
