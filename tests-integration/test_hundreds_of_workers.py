"""Runs on many workers, some of which vanish, join late or are slow to be reached.

The workers are those of the benchmark: dask's own, dozens of them in one process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from acme import ParallelMap

ROOT = Path(__file__).resolve().parents[1]
N_CALLS = 2000
WAYS: dict[str, dict[str, Any]] = {
    "files": {},
    "single file": {"single_file": True},
    "stacked": {"result_shape": (None,)},
    "memory": {"write_worker_results": False},
}


@pytest.fixture
def simulation(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(ROOT / "benchmarks" / "contenders")
    from simulation import simulated

    with simulated(60) as simulation:
        yield simulation


def note(x: int, folder: str, seconds: float) -> int:
    """Leave a line for each evaluation, whatever becomes of its result."""
    time.sleep(seconds)
    with open(f"{folder}/{os.getpid()}-{threading.get_ident()}", "a") as file:
        file.write(f"{x}\n")
    return 3 * x


def evaluations(folder: Path) -> Counter[int]:
    """Return how often each call was evaluated to its end."""
    lines = (line for path in folder.iterdir() for line in path.read_text().split())
    return Counter(map(int, lines))


def compute(way: str, folder: Path, seconds: float, during: Callable[[], object]) -> Counter[int]:
    """Run all calls, check their values, and return how often each one was evaluated."""
    notes = folder / "notes"
    notes.mkdir()
    with ParallelMap(
        note,
        range(N_CALLS),
        str(notes),
        seconds,
        n_inputs=N_CALLS,
        verbose=False,
        output_dir=None if way == "memory" else folder / "results",
        **WAYS[way],
    ) as pmap:

        def disturb() -> None:
            while len(evaluations(notes)) < N_CALLS / 5:
                time.sleep(0.05)
            during()

        thread = threading.Thread(target=disturb)
        thread.start()
        results = pmap.compute()
        thread.join()
        expected = [3 * x for x in range(N_CALLS)]
        if way == "memory":
            assert results == expected
        else:
            assert pmap.results is not None
            assert list(pmap.results.stack()) == expected
            assert set(pmap.results.status) == {"done"}
    return evaluations(notes)


@pytest.mark.parametrize("way", WAYS)
def test_half_of_the_workers_vanish(way: str, simulation: Any, tmp_path: Path) -> None:
    counts = compute(way, tmp_path, 0.05, simulation.processes[0].kill)
    assert sorted(counts) == list(range(N_CALLS))
    # Each of the 30 workers loses its call, and what it has finished within half a second.
    assert counts.total() - N_CALLS <= 30 * (0.6 / 0.05)


def test_workers_that_join_get_their_share(simulation: Any, tmp_path: Path) -> None:
    # Eight seconds with 60 workers, of which the others need some to start.
    counts = compute("memory", tmp_path, 0.25, lambda: simulation.add_workers(40))
    assert counts.total() == N_CALLS
    joined = str(simulation.processes[-1].pid)
    theirs = [p for p in (tmp_path / "notes").iterdir() if p.name.startswith(f"{joined}-")]
    assert len(theirs) > 5


def test_a_scheduler_that_answers_nobody_for_seconds(simulation: Any, tmp_path: Path) -> None:
    def block() -> None:
        simulation.client.run_on_scheduler(time.sleep, 5)

    counts = compute("stacked", tmp_path, 0.02, block)
    assert counts.total() == N_CALLS


SUSPENDED = """
import sys, time
from acme import ParallelMap

def slow(x):
    time.sleep(0.05)
    with open(f"notes/{x}", "a") as file:
        file.write("x")
    return 3 * x

with ParallelMap(slow, range(200), n_workers=2, output_dir="results", verbose=False) as pmap:
    pmap.compute()
    assert list(pmap.results.stack()) == [3 * x for x in range(200)]
print("complete")
"""


def test_a_client_that_is_suspended_goes_on(workdir: Path, no_client: None) -> None:
    notes = workdir / "notes"
    notes.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", SUSPENDED], stdout=subprocess.PIPE, text=True, cwd=workdir
    )
    while len(list(notes.iterdir())) < 20:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGSTOP)
    time.sleep(5)
    process.send_signal(signal.SIGCONT)
    out, _ = process.communicate(timeout=120)
    assert out == "complete\n"
    assert {path.name: path.read_text() for path in notes.iterdir()} == {
        str(x): "x" for x in range(200)
    }
