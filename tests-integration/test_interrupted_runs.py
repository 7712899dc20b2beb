"""Interrupted runs: the container holds all results on disk, and no process or file is left."""

from __future__ import annotations

import os
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
    "single file": {"single_file": True},
    "pickled": {"write_pickle": True},
}

SCRIPT = """\
import os, sys, time
import numpy as np
from acme import ParallelMap

client, number, mode = os.getpid(), int(sys.argv[1]), sys.argv[2]

def f(x):
    time.sleep(0.02)
    if x == 13 and mode != "resume":
        os.kill(client, number)  # this call finishes while the client is stopping
    if x == 13 and mode == "twice":
        time.sleep(0.1)
        os.kill(client, number)
    return np.full(2, float(x))

with ParallelMap(f, range(40), output_dir="out", n_workers=2, **%r) as pmap:
    pmap.compute(resume=mode == "resume")
"""


def default_signals() -> None:
    """Restore signals that `nohup` and background jobs of a shell ignore."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def run_until_end(folder: Path, number: int, mode: str) -> subprocess.CompletedProcess[str]:
    """Run the script in a new session; check that it leaves no process."""
    process = subprocess.Popen(
        [sys.executable, "script.py", str(number), mode],
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


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_container_holds_finished_calls_after_a_signal(
    tmp_path: Path, way: str, number: int
) -> None:
    (tmp_path / "script.py").write_text(SCRIPT % WAYS[way])
    ended = run_until_end(tmp_path, int(number), "begin")
    assert ended.returncode != 0
    assert "resume=True" in ended.stderr, ended.stderr
    out = tmp_path / "out"
    with acme_io.open_results(out, allow_pickle=True) as before:
        done = set(range(40)) - set(before.missing)
        assert 13 in done
        assert all((before[call].values == float(call)).all() for call in done)
    again = run_until_end(tmp_path, int(number), "resume")
    assert again.returncode == 0, again.stderr
    with acme_io.open_results(out, allow_pickle=True) as results:
        assert not results.missing
        assert [call.values[1] for call in results] == list(range(40))


@pytest.mark.parametrize("way", WAYS)
def test_ctrl_c_twice(tmp_path: Path, way: str) -> None:
    (tmp_path / "script.py").write_text(SCRIPT % WAYS[way])
    ended = run_until_end(tmp_path, int(signal.SIGINT), "twice")
    assert ended.returncode != 0
    assert "resume=True" in ended.stderr, ended.stderr
    with acme_io.open_results(tmp_path / "out", allow_pickle=True) as results:
        done = set(range(40)) - set(results.missing)
        assert len(done) > 5
        assert all((results[call].values == float(call)).all() for call in done)
    again = run_until_end(tmp_path, int(signal.SIGINT), "resume")
    assert again.returncode == 0, again.stderr


KILLED = """\
import os
import time
import numpy as np
from acme import ParallelMap

def f(array, x):
    with open("/proc/self/maps") as maps:
        mapped = [line.split()[-1] for line in maps if "acme-handover" in line]
    with open("where.tmp", "w") as file:
        file.write(os.path.dirname(mapped[0]))
    os.rename("where.tmp", "where")
    time.sleep(0.1)
    return x

with ParallelMap(f, np.ones((100, 100_000)), range(1000), output_dir="out", n_workers=2) as pmap:
    pmap.compute()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_killed_client_leaves_no_temporary_folder(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(KILLED)
    (tmp_path / "temporary").mkdir()
    process = subprocess.Popen(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env=os.environ | {"TMPDIR": str(tmp_path / "temporary")},
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "where").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait(30)
    handed_over = Path((tmp_path / "where").read_text())
    while handed_over.exists() or list((tmp_path / "temporary").iterdir()):
        assert time.monotonic() < deadline, "temporary files are left"
        time.sleep(0.05)
