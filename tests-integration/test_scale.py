"""A million calls: what the client and the scheduler hold does not grow with them."""

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
    """`VmRSS` or its high-water mark `VmHWM` of this process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))


class Watch:
    """What was seen while a block ran."""

    def __init__(self) -> None:
        self.memory = 0
        """Bytes of this process at its highest, above what it was before."""
        self.futures: list[int] = []
        """Futures that the client held, again and again."""
        self.tasks: list[int] = []
        """Tasks that the scheduler knew, again and again."""


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
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark counts from here
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
    in_memory(lambda x: x, range(1000))  # what is imported at the first run does not count
    with watched(client) as watch:
        results = in_memory(lambda x: x, items, n_inputs=MILLION)
    assert results == list(range(MILLION))

    size = sys.getsizeof(results) + sum(map(sys.getsizeof, results))
    assert watch.memory <= size + 100_000_000
    # Those that are done are forgotten a moment after their outcomes were fetched.
    assert len(watch.tasks) > 100
    assert 0 < max(watch.futures) <= 2 * BATCHES_IN_FLIGHT
    assert 0 < max(watch.tasks) <= 2 * BATCHES_IN_FLIGHT


def test_an_item_is_drawn_when_there_is_room_for_its_call(client: Any, workdir: Path) -> None:
    """Calls this long travel alone, so that the window of two batches a worker is one of calls."""
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
