"""One piece of work with one library: ``race.py WORK POOL CALLS``.

Runs as a script, so that its functions live in `__main__`, as those of a user's script do. The
workers are up before the clock starts, and have worked once.
"""

from __future__ import annotations

import functools
import heapq
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
from memory import MB, forget_high_water, high_water, proportional, resident
from pools import POOLS, WORKERS, FormPool, Pool, SharingPool
from stopwatch import figure

# -- what is called --------------------------------------------------------------------------


def same(x: Any) -> Any:
    """Nothing at all."""
    return x


def f(x: Any, y: Any, z: Any = 3) -> Any:
    """Do what the first example of the user guide does."""
    return (x + y) * z


def first_of(x: Any, y: Any) -> Any:
    """Take two arguments."""
    return x


def pair(x: Any) -> tuple[Any, Any]:
    """Return two values."""
    return x, x


def numbered(x: Any, taskID: int) -> int:  # the name that gets the number
    """Return the number of the call."""
    return taskID


class Adder:
    """A class with a method."""

    def __init__(self, y: Any) -> None:
        self.y = y

    def add(self, x: Any) -> Any:
        """Return the sum."""
        return x + self.y


def nap(seconds: float) -> float:
    """Sleep, and say how long it took in the end."""
    start = time.perf_counter()
    time.sleep(seconds)
    return time.perf_counter() - start


def total(x: float, array: np.ndarray[Any, Any]) -> float:
    """Read a whole array."""
    return x + float(array.sum())


def pss_with(x: float, array: np.ndarray[Any, Any]) -> tuple[int, int, int]:
    """Read a whole array, then tell what this worker's memory comes to."""
    total(x, array)
    time.sleep(0.02)  # so that both workers have some to do
    return os.getpid(), time.monotonic_ns(), proportional()


def pss(x: float) -> tuple[int, int, int]:
    """Tell what this worker's memory comes to."""
    time.sleep(0.02)
    return os.getpid(), time.monotonic_ns(), proportional()


def total_of(array: np.ndarray[Any, Any]) -> float:
    """Read a whole array of one's own."""
    return float(array.sum())


def series(x: float) -> np.ndarray[Any, Any]:
    """Return 80 kB."""
    return np.full(10_000, x)


# -- works -----------------------------------------------------------------------------------


def trivial(pool: Pool, n: int) -> None:
    """Call so short a function that only the library's own work is left."""
    items = range(n)
    results = clocked(lambda: pool.map(same, items))
    assert results == list(items)


def guide(pool: Pool, n: int) -> None:
    """Call the user guide's function as it does there: a list, and a number for all calls."""
    assert isinstance(pool, FormPool)
    items = list(range(n))
    results = clocked(lambda: pool.map_form(f, n, items, 4))
    assert results == [(x + 4) * 3 for x in items]


def forms(pool: Pool, n: int) -> None:
    """Call trivial functions in all ways; note microseconds a call for each way."""
    assert isinstance(pool, FormPool)
    x = list(range(n))
    y = [float(i) for i in range(n)]
    options = {"window": 5, "name": "hann"}
    calls: dict[str, tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = {
        "`f(list, 4)`": (f, (x, 4), {}),
        "`f(4, list)`": (f, (4, x), {}),
        "`f(list, y=4, z=5)`": (f, (x,), {"y": 4, "z": 5}),
        "`f(x=list, y=list)`": (f, (), {"x": x, "y": y}),
        "two lists": (f, (x, y), {}),
        "range": (same, (range(n),), {}),
        "tuple": (same, (tuple(x),), {}),
        "array": (same, (np.arange(n),), {}),
        "NumPy numbers": (same, (list(np.arange(n) / 2),), {}),
        "text": (same, ([f"subject {i}" for i in x],), {}),
        "tuples": (same, (list(zip(x, y, strict=True)),), {}),
        "shared dict": (first_of, (x, options), {}),
        "shared dict of lists": (first_of, (x,), {"y": {"bands": [1, 2, 3], "on": True}}),
        "shared array": (first_of, (x, np.zeros((2, 3))), {}),
        "`taskID`": (numbered, (x,), {}),
        "method": (Adder(1).add, (x,), {}),
        "partial": (functools.partial(f, 4), (x,), {}),
        "tuple result": (pair, (x,), {}),
    }
    for form, (func, args, kwargs) in calls.items():
        start = time.perf_counter()
        results = pool.map_form(func, n, *args, **kwargs)
        figure(f"us {form}", 1e6 * (time.perf_counter() - start) / n)
        assert len(results) == n


def second(pool: Pool, n: int) -> None:
    """Run few calls after other runs on the same workers; the median of many counts."""
    for _ in range(3):
        pool.map(same, range(n))
    seconds = []
    for _ in range(20):
        start = time.perf_counter()
        assert len(pool.map(same, range(n))) == n
        seconds.append(time.perf_counter() - start)
    figure("seconds", statistics.median(seconds))


def sleeping(pool: Pool, n: int) -> None:
    """Sleep, 20 ms a call."""
    took = clocked(lambda: pool.map(nap, naps(n)))
    figure("ideal", sum(took) / WORKERS)


def uneven(pool: Pool, n: int) -> None:
    """Sleep, in one call of a hundred a hundred times as long; where, is each round's luck."""
    placement = random.Random(int(os.environ["CONTEST_ROUND"]))
    long = set(placement.sample(range(n), max(1, n // 100)))
    took = clocked(lambda: pool.map(nap, naps(n, long)))
    figure("ideal", greedy(took))


def naps(n: int, long: Collection[int] = ()) -> list[float]:
    """Return seconds to sleep, no two the same: a peer evaluates equal calls only once."""
    return [(2.0 if i in long else 0.02) + 1e-9 * i for i in range(n)]


def shared(pool: Pool, n: int) -> None:
    """Read one array of 200 MB in all calls."""
    assert isinstance(pool, SharingPool)
    array = np.ones(25_000_000)
    expected = float(array.sum())
    results = clocked(lambda: pool.map_shared(total, range(n), array))
    assert results == [x + expected for x in range(n)]
    before = worker_memory(pool.map(pss, range(20)))
    # What is left of the run before may be shared or not: this is what a run with it takes.
    after = worker_memory(pool.map_shared(pss_with, range(n), array + 1))
    figure("workers_mb", (after - before) / MB)


def distinct(pool: Pool, n: int) -> None:
    """Read 10 MB in each call, of its own."""
    arrays = [np.full(1_250_000, i, float) for i in range(n)]
    results = clocked(lambda: pool.map(total_of, arrays))
    assert results == [1_250_000.0 * i for i in range(n)]


def floats(pool: Pool, n: int) -> None:
    """Write one number a call."""
    _timed_files(lambda: pool.map(same, [float(i) for i in range(n)]))


def arrays(pool: Pool, n: int) -> None:
    """Write 80 kB a call."""
    _timed_files(lambda: pool.map(series, [float(i) for i in range(n)]))


def _timed_files(run: Callable[[], list[Any]]) -> None:
    files = clocked(run)
    assert files
    assert all(map(os.path.exists, files))


WORKS: dict[str, Callable[[Pool, int], None]] = {
    work.__name__: work
    for work in (trivial, guide, forms, second, sleeping, uneven, shared, distinct, floats, arrays)
}


# -- figures ---------------------------------------------------------------------------------


def clocked(run: Callable[[], list[Any]]) -> list[Any]:
    """Note how long it takes, and the memory of this process at its highest above now."""
    forget_high_water()
    before, start = resident(), time.perf_counter()
    results = run()
    figure("seconds", time.perf_counter() - start)
    figure("client_mb", (high_water() - before) / MB)
    figure("results_mb", sys.getsizeof(results) / MB + sum(map(sys.getsizeof, results)) / MB)
    return results


def greedy(took: Sequence[float]) -> float:
    """Return how long the calls take if each goes, in order, to the worker that is free first."""
    free_at = [0.0] * WORKERS
    for seconds in took:
        heapq.heappush(free_at, heapq.heappop(free_at) + seconds)
    return max(free_at)


def worker_memory(told: Sequence[tuple[int, int, int]]) -> int:
    """Return the memory of all workers together, by what each told last."""
    last = {pid: size for pid, _, size in sorted(told, key=lambda each: each[1])}
    return sum(last.values())


def main() -> None:
    """Start the workers, warm them up, run the work."""
    work, name, n = sys.argv[1:]
    pool = POOLS[name]()
    try:
        pool.map(same, range(100))
        WORKS[work](pool, int(n))
    finally:
        pool.close()


if __name__ == "__main__":
    main()
