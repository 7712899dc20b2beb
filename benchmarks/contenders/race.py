"""One workload with one library: ``race.py WORK POOL CALLS``.

Runs as a script, so its functions are in `__main__`, like those of a user's script. The workers are
running and have completed some calls before the clock starts.
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

# -- functions -------------------------------------------------------------------------------


def same(x: Any) -> Any:
    """Return the argument."""
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
    """Sleep; return the actual duration in seconds."""
    start = time.perf_counter()
    time.sleep(seconds)
    return time.perf_counter() - start


def total(x: float, array: np.ndarray[Any, Any]) -> float:
    """Read a whole array."""
    return x + float(array.sum())


def pss_with(x: float, array: np.ndarray[Any, Any]) -> tuple[int, int, int]:
    """Read a whole array; return process id, time and memory of this worker."""
    total(x, array)
    time.sleep(0.02)  # long enough for both workers to get calls
    return os.getpid(), time.monotonic_ns(), proportional()


def pss(x: float) -> tuple[int, int, int]:
    """Return process id, time and memory of this worker."""
    time.sleep(0.02)
    return os.getpid(), time.monotonic_ns(), proportional()


def total_of(array: np.ndarray[Any, Any]) -> float:
    """Read a whole array that only this call gets."""
    return float(array.sum())


def series(x: float) -> np.ndarray[Any, Any]:
    """Return 80 kB."""
    return np.full(10_000, x)


# -- workloads -------------------------------------------------------------------------------


def trivial(pool: Pool, n: int) -> None:
    """Call a trivial function, which measures only the library's overhead."""
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
    """Run few calls again and again on the same workers; record the median time."""
    for _ in range(3):
        pool.map(same, range(n))
    seconds = []
    for _ in range(20):
        start = time.perf_counter()
        assert len(pool.map(same, range(n))) == n
        seconds.append(time.perf_counter() - start)
    figure("seconds", statistics.median(seconds))


def sleeping(pool: Pool, n: int) -> None:
    """Sleep 20 ms per call."""
    took = clocked(lambda: pool.map(nap, naps(n)))
    figure("ideal", sum(took) / WORKERS)


def uneven(pool: Pool, n: int) -> None:
    """Sleep, a hundred times longer in one call of a hundred; positions vary per round."""
    placement = random.Random(int(os.environ["CONTEST_ROUND"]))
    long = set(placement.sample(range(n), max(1, n // 100)))
    took = clocked(lambda: pool.map(nap, naps(n, long)))
    figure("ideal", greedy(took))


def naps(n: int, long: Collection[int] = ()) -> list[float]:
    """Return distinct sleep times: a peer evaluates equal calls only once."""
    return [(2.0 if i in long else 0.02) + 1e-9 * i for i in range(n)]


def shared(pool: Pool, n: int) -> None:
    """Read one shared array of 200 MB in all calls."""
    assert isinstance(pool, SharingPool)
    array = np.ones(25_000_000)
    expected = float(array.sum())
    results = clocked(lambda: pool.map_shared(total, range(n), array))
    assert results == [x + expected for x in range(n)]
    before = worker_memory(pool.map(pss, range(20)))
    # A new array: memory left from the previous run may or may not be shared.
    after = worker_memory(pool.map_shared(pss_with, range(n), array + 1))
    figure("workers_mb", (after - before) / MB)


def distinct(pool: Pool, n: int) -> None:
    """Read a different array of 10 MB in each call."""
    arrays = [np.full(1_250_000, i, float) for i in range(n)]
    results = clocked(lambda: pool.map(total_of, arrays))
    assert results == [1_250_000.0 * i for i in range(n)]


def floats(pool: Pool, n: int) -> None:
    """Write one number per call."""
    _timed_files(lambda: pool.map(same, [float(i) for i in range(n)]))


def arrays(pool: Pool, n: int) -> None:
    """Write 80 kB per call."""
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
    """Run and record the time, and the peak memory of this process above its current level."""
    forget_high_water()
    before, start = resident(), time.perf_counter()
    results = run()
    figure("seconds", time.perf_counter() - start)
    figure("client_mb", (high_water() - before) / MB)
    figure("results_mb", sys.getsizeof(results) / MB + sum(map(sys.getsizeof, results)) / MB)
    return results


def greedy(took: Sequence[float]) -> float:
    """Return the makespan if each call goes, in order, to the first free worker."""
    free_at = [0.0] * WORKERS
    for seconds in took:
        heapq.heappush(free_at, heapq.heappop(free_at) + seconds)
    return max(free_at)


def worker_memory(reports: Sequence[tuple[int, int, int]]) -> int:
    """Return the total memory of all workers, from the last report of each."""
    last = {pid: size for pid, _, size in sorted(reports, key=lambda each: each[1])}
    return sum(last.values())


def main() -> None:
    """Start the workers, warm them up, run the workload."""
    work, name, n = sys.argv[1:]
    pool = POOLS[name]()
    try:
        pool.map(same, range(100))
        WORKS[work](pool, int(n))
    finally:
        pool.close()


if __name__ == "__main__":
    main()
