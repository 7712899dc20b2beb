"""SIGKILL at random moments: files under their final names are complete and correct."""

import importlib.util
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import acme_io
from acme_io.files.header import read_header
from acme_io.files.pickle_file import read_pickle_record
from acme_io.layout import parse_payload_name
from acme_io.tools.rebuild import rebuild
from acme_io.tools.verify import verify

SCRIPT = Path(__file__).with_name("kill_writer.py")
_spec = importlib.util.spec_from_file_location("kill_writer", SCRIPT)
assert _spec is not None
kill_writer = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(kill_writer)

KILLS = 14  # per way, 56 in all
BATCH = {"links": 4, "stacked": 3, "single": 3, "pickles": 4}


def kill_while_writing(folder: Path, way: str, rng: random.Random) -> bool:
    """Start a writer and kill it; return whether that was during a write."""
    command = [sys.executable, str(SCRIPT), str(folder), way, str(BATCH[way])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as writer:
        goal = rng.randrange(2, 40)
        for line in writer.stdout:
            if line.startswith("begin") and (goal := goal - 1) <= 0:
                break
        time.sleep(rng.random() * 0.004)  # during the write or just after it
        writer.send_signal(signal.SIGKILL)
        last = [line, *writer.stdout][-1]
    return last.startswith("begin")


def check_every_file(folder: Path, way: str, tools) -> int:
    """Check every byte of all files under final names; return the number of finished calls."""
    checked = 0
    for path in folder.rglob("*"):
        if path.is_dir() or path.name.startswith("."):
            continue
        parsed = parse_payload_name(path.name)
        assert parsed is not None, path
        if parsed.kind == "pickle":
            read_pickle_record(path, check=True)
        else:
            read_header(path, check="all")
        checked += 1
    if not checked:
        return 0
    make = kill_writer.stacked_value if way == "stacked" else kill_writer.value
    with acme_io.open_results(folder, allow_pickle=True) as results:
        finished = [call for call, status in enumerate(results.status) if status != "missing"]
        for call in finished:
            assert tools.same(results[call].values, make(call)), call
    return len(finished)


@pytest.mark.parametrize("way", BATCH)
def test_killed_writers_leave_complete_files(tmp_path: Path, tools, way: str) -> None:
    rng = random.Random(f"kill {way}")
    hits = finished = 0
    for number in range(KILLS):
        folder = tmp_path / str(number)
        hits += kill_while_writing(folder, way, rng)
        finished += check_every_file(folder, way, tools)
    assert finished > KILLS  # there was something to lose
    assert hits >= KILLS // 3, "the kills did not hit during writes"


@pytest.mark.parametrize("way", BATCH)
def test_a_run_is_rebuilt_and_resumed_after_a_kill(tmp_path: Path, tools, way: str) -> None:
    rng = random.Random(f"rebuild {way}")
    finished = 0
    while not finished:  # an early kill may come before the first result
        folder = tmp_path / f"{rng.random()}"
        kill_while_writing(folder, way, rng)
        finished = check_every_file(folder, way, tools)
    made = rebuild(folder)
    assert made.damaged == {}
    assert made.counts["done"] + made.counts["pickled"] == finished
    assert not list(folder.rglob(".*")), "temporary files and the claim are gone"
    assert verify(folder) == []
