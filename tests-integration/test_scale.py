"""A million calls: the state of client and scheduler does not grow with their number."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from acme import ParallelMap, each

MILLION = 1_000_000
WORKERS = 2
BATCHES_IN_FLIGHT = 2 * WORKERS


def in_memory(func: Any, /, *args: Any, **kwargs: Any) -> list[Any]:
    with ParallelMap(func, *args, write_worker_results=False, verbose=False, **kwargs) as pmap:
        return list(pmap.compute() or ())


def memory(name: str) -> int:
    """Return `VmRSS` or its peak `VmHWM` of this process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))


class Watch:
    """Samples taken while a block runs."""

    def __init__(self) -> None:
        self.memory = 0
        """Peak memory of this process above its initial level, in bytes."""
        self.futures: list[int] = []
        """Number of futures of the client, sampled repeatedly."""
        self.tasks: list[int] = []
        """Number of tasks of the scheduler, sampled repeatedly."""


@contextmanager
def watched(client: Any) -> Iterator[Watch]:
    watch, ended = Watch(), threading.Event()
    scheduler = client.cluster.scheduler

    def look() -> None:
        while not ended.wait(0.002):
            watch.futures.append(len(client.futures))
            watch.tasks.append(len(scheduler.tasks))

    thread = threading.Thread(target=look)
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    thread.start()
    try:
        yield watch
    finally:
        watch.memory = memory("VmHWM") - before
        ended.set()
        thread.join()


@pytest.mark.parametrize("items", [range(MILLION), "a generator"], ids=["range", "generator"])
def test_a_million_calls(client: Any, items: Any) -> None:
    if isinstance(items, str):
        items = each(i for i in range(MILLION))
    in_memory(lambda x: x, range(1000))  # imports of the first run do not count
    with watched(client) as watch:
        results = in_memory(lambda x: x, items, n_inputs=MILLION)
    assert results == list(range(MILLION))

    size = sys.getsizeof(results) + sum(map(sys.getsizeof, results))
    assert watch.memory <= size + 100_000_000
    # Twice the batches in flight: finished tasks are released shortly after their outcomes arrive.
    assert len(watch.tasks) > 100
    assert 0 < max(watch.futures) <= 2 * BATCHES_IN_FLIGHT
    assert 0 < max(watch.tasks) <= 2 * BATCHES_IN_FLIGHT


def test_generator_items_are_drawn_on_demand(client: Any, workdir: Path) -> None:
    """Such long calls are batches of one, so two batches per worker are two calls per worker."""
    n, marks = 24, workdir / "marks"
    marks.mkdir()
    ahead = []

    def items() -> Iterator[int]:
        for i in range(n):
            ahead.append(i + 1 - len(list(marks.iterdir())))
            yield i

    def nap(x: int, folder: str) -> int:
        time.sleep(0.25)
        Path(folder, str(x)).touch()
        return x

    assert in_memory(nap, each(items()), str(marks), n_inputs=n) == list(range(n))
    assert len(ahead) == n
    assert max(ahead) <= BATCHES_IN_FLIGHT
