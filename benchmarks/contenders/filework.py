"""One workload with files, for `files`: ``filework.py WORK POOL CALLS``.

Runs as a script, also in the environments of other libraries. The workers are running and have
completed some calls before the clock starts.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from memory import MB, forget_high_water, high_water, resident
from pools import Acme, AcmeOnDisk, AcmeSingleFile, EsiAcme, PandasHDF, PlainH5py, Pool
from stopwatch import figure

BIG = 4_000_000
"""Number of floats in a big array (32 MB)."""

# -- pools -------------------------------------------------------------------------------------


class AcmeStacked(Acme):
    """ACME, with one row per call in one dataset."""

    options: dict[str, Any] = {"result_shape": (None,)}  # noqa: RUF012 # of all its runs


class EsiAcmeOnDisk(EsiAcme):
    """esi-acme, with results on disk."""

    options: dict[str, Any] = {}  # noqa: RUF012 # of all its runs

    def _run(self, func: Callable[..., Any], items: Sequence[Any], *more: Any) -> list[Any]:
        from acme import ParallelMap

        given: dict[str, Any] = {"n_inputs": len(items), "stop_client": False, **self.options}
        with ParallelMap(func, list(items), *more, **given) as pmap:
            pmap.compute()
            return [str(pmap.results_container)]


class EsiAcmeStacked(EsiAcmeOnDisk):
    """esi-acme, with one row per call in one dataset."""

    options: dict[str, Any] = {"result_shape": (None,)}  # noqa: RUF012 # of all its runs


class EsiAcmeSingleFile(EsiAcmeOnDisk):
    """esi-acme, with all results in one file."""

    options: dict[str, Any] = {"single_file": True}  # noqa: RUF012 # of all its runs


POOLS: dict[str, Callable[[], Any]] = {
    "acme-on-disk": AcmeOnDisk,
    "acme-single-file": AcmeSingleFile,
    "acme-stacked": AcmeStacked,
    "esi-acme-single-file": EsiAcmeSingleFile,
    "esi-acme-stacked": EsiAcmeStacked,
    "h5py": PlainH5py,
    "to_hdf": PandasHDF,
}

# -- functions ---------------------------------------------------------------------------------


def number(x: float) -> float:
    """Return the argument."""
    return x


def middling(x: float) -> np.ndarray[Any, Any]:
    """Return 80 kB."""
    return np.full(10_000, x)


def big(x: float) -> np.ndarray[Any, Any]:
    """Return 32 MB."""
    return np.full(BIG, x)


def named(x: float) -> dict[str, np.ndarray[Any, Any]]:
    """Return ten arrays of 80 kB by name."""
    return {f"array {number}": np.full(10_000, x + number) for number in range(10)}


def table(x: float) -> Any:
    """Return a frame of ten columns and 10 000 rows."""
    import pandas as pd

    return pd.DataFrame(named(x))


# -- workloads ---------------------------------------------------------------------------------


def write(pool: Pool, n: int) -> None:
    """Write one number per call."""
    _clocked(pool, number, n)


def stacked(pool: Pool, n: int) -> None:
    """Write one number per call to one dataset, and read all of it with h5py."""
    container = _container(_clocked(pool, number, n))
    _compare({"read": lambda: _dataset(container), "contiguous": _contiguous(n)}, 9)


def files(pool: Pool, n: int) -> None:
    """Write one file per call, and read all of them, with a plain loop and with `stack`."""
    paths = _clocked(pool, number, n)
    _compare({"loop": lambda: _loop(paths), "stack": lambda: _stack(_container(paths))}, 3)


def merged(pool: Pool, n: int) -> None:
    """Read results that were merged into one file."""
    from acme_io.tools.merge import merge

    target = merge(_container(pool.map(number, _numbers(n))), "merged.h5").path
    _compare({"stack": lambda: _stack(target), "contiguous": _contiguous(n)}, 201)


def bandwidth(pool: Pool, n: int) -> None:
    """Write 32 MB per call; record the memory that workers need."""
    before: dict[int, int] = {}
    if isinstance(pool, Acme):
        pool.map(big, _numbers(2))  # imports do not count as memory of the run
        before = _ask_workers(pool, _begin)
    _clocked(pool, big, n)
    if isinstance(pool, Acme):
        after = _ask_workers(pool, high_water)
        figure("worker_mb", max(after[pid] - before[pid] for pid in after) / MB)


def arrays(pool: Pool, n: int) -> None:
    """Write 80 kB per call."""
    _clocked(pool, middling, n)


def dicts(pool: Pool, n: int) -> None:
    """Write a dict of ten arrays per call, and read all of them."""
    _read_back(pool, named, n)


def frames(pool: Pool, n: int) -> None:
    """Write a frame per call, and read all of them."""
    _read_back(pool, table, n)


def _read_back(pool: Pool, func: Callable[[float], Any], n: int) -> None:
    """Write, then record the seconds to read all results as they were, and their size."""
    for path in pool.map(func, _numbers(4)):  # imports do not count
        next(_values(pool, [path]))
    paths = _clocked(pool, func, n)
    start = time.perf_counter()
    count = sum(1 for _ in _values(pool, paths))
    figure("read", time.perf_counter() - start)
    assert count == n
    figure("kB a call", sum(os.path.getsize(path) for path in paths) / n / 1000)


def _values(pool: Pool, paths: Sequence[str]) -> Iterator[Any]:
    if isinstance(pool, PandasHDF):
        import pandas as pd

        yield from map(pd.read_hdf, paths)
    elif isinstance(pool, PlainH5py):
        import h5py

        for path in paths:
            with h5py.File(path, "r") as file:
                found = {name: member[()] for name, member in file["result_0"].items()}
            # pandas is loaded if the results were frames.
            yield sys.modules["pandas"].DataFrame(found) if "pandas" in sys.modules else found
    else:
        import acme_io

        with acme_io.open_results(Path(paths[0]).parent) as results:
            for call in results:
                yield call.values


WORKS: dict[str, Callable[[Any, int], None]] = {
    work.__name__: work
    for work in (write, stacked, files, merged, bandwidth, arrays, dicts, frames)
}

# -- figures -----------------------------------------------------------------------------------


def _numbers(n: int) -> list[float]:
    return [float(i) for i in range(n)]


def _clocked(pool: Pool, func: Callable[..., Any], n: int) -> list[Any]:
    items = _numbers(n)
    start = time.perf_counter()
    paths = pool.map(func, items)
    figure("seconds", time.perf_counter() - start)
    return paths


def _compare(ways: dict[str, Callable[[], Any]], rounds: int) -> None:
    """Record the median seconds of several ways to read the same numbers, run in turns."""
    order = random.Random(int(os.environ["CONTEST_ROUND"]))
    expected = [read() for read in ways.values()]
    assert all(np.array_equal(one, expected[0]) for one in expected)
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name in order.sample(list(ways), len(ways)):
            start = time.perf_counter()
            ways[name]()
            took[name].append(time.perf_counter() - start)
    for name, seconds in took.items():
        figure(name, sorted(seconds)[len(seconds) // 2])


def _container(paths: Sequence[str]) -> Path:
    """Return the container of a run of `number`, given its files."""
    first = Path(paths[0])
    folder = first.parent.parent if first.parent.name.endswith("_payload") else first.parent
    return folder / "number.h5"


def _dataset(path: Path) -> np.ndarray[Any, Any]:
    import h5py

    with h5py.File(path, "r") as file:
        whole: np.ndarray[Any, Any] = file["result_0"][()]
        return whole


def _contiguous(n: int) -> Callable[[], np.ndarray[Any, Any]]:
    """Write `n` numbers to one dataset; return a function that reads it."""
    import h5py

    with h5py.File("contiguous.h5", "w") as file:
        file["result_0"] = np.arange(n, dtype=float)
    return lambda: _dataset(Path("contiguous.h5"))


def _loop(paths: Sequence[str]) -> np.ndarray[Any, Any]:
    import h5py

    values = []
    for path in paths:
        with h5py.File(path, "r") as file:
            values.append(file["result_0"][0])
    return np.array(values)


def _stack(path: Path) -> np.ndarray[Any, Any]:
    import acme_io

    with acme_io.open_results(path) as results:
        return results.stack()


def _begin() -> int:
    forget_high_water()
    return resident()


def _ask_workers(pool: Acme, question: Callable[[], int]) -> dict[int, int]:
    """Run a function on every worker; return the results by process id."""
    answers = pool._client.run(_with_pid, question)
    return dict(answers.values())


def _with_pid(question: Callable[[], int]) -> tuple[int, int]:
    return os.getpid(), question()


def main() -> None:
    """Start the workers, warm them up, run the workload."""
    work, name, n = sys.argv[1:]
    pool = POOLS[name]()
    try:
        pool.map(number, _numbers(100 if name.startswith("acme") or name == "h5py" else 10))
        WORKS[work](pool, int(n))
    finally:
        pool.close()


if __name__ == "__main__":
    main()
