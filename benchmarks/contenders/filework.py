"""One piece of work with files: ``filework.py WORK POOL CALLS``; for `files`.

Runs as a script, in the environments of other libraries too. Workers are up before the clock
starts, and have worked once.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from memory import MB, forget_high_water, high_water, resident
from pools import Acme, AcmeOnDisk, AcmeSingleFile, EsiAcme, PlainH5py, Pool
from stopwatch import figure

BIG = 4_000_000
"""Numbers in a big array: 32 MB."""

# -- who works ---------------------------------------------------------------------------------


class AcmeStacked(Acme):
    """The project itself, with one row a call in one dataset."""

    options: dict[str, Any] = {"result_shape": (None,)}  # noqa: RUF012 # of all its runs


class EsiAcmeOnDisk(EsiAcme):
    """The peer of that name, with its results on disk."""

    options: dict[str, Any] = {}  # noqa: RUF012 # of all its runs

    def _run(self, func: Callable[..., Any], items: Sequence[Any], *more: Any) -> list[Any]:
        from acme import ParallelMap

        given: dict[str, Any] = {"n_inputs": len(items), "stop_client": False, **self.options}
        with ParallelMap(func, list(items), *more, **given) as pmap:
            pmap.compute()
            return [str(pmap.results_container)]


class EsiAcmeStacked(EsiAcmeOnDisk):
    """The same, with one row a call in one dataset."""

    options: dict[str, Any] = {"result_shape": (None,)}  # noqa: RUF012 # of all its runs


class EsiAcmeSingleFile(EsiAcmeOnDisk):
    """The same, with all results in one file."""

    options: dict[str, Any] = {"single_file": True}  # noqa: RUF012 # of all its runs


POOLS: dict[str, Callable[[], Any]] = {
    "acme-on-disk": AcmeOnDisk,
    "acme-single-file": AcmeSingleFile,
    "acme-stacked": AcmeStacked,
    "esi-acme-single-file": EsiAcmeSingleFile,
    "esi-acme-stacked": EsiAcmeStacked,
    "h5py": PlainH5py,
}

# -- what is called ----------------------------------------------------------------------------


def number(x: float) -> float:
    """Return what comes."""
    return x


def big(x: float) -> np.ndarray[Any, Any]:
    """Return 32 MB."""
    return np.full(BIG, x)


# -- works -------------------------------------------------------------------------------------


def write(pool: Pool, n: int) -> None:
    """Write one number a call."""
    _clocked(pool, number, n)


def stacked(pool: Pool, n: int) -> None:
    """Write one number a call into one dataset, and read it all back, as h5py does it."""
    container = _container(_clocked(pool, number, n))
    _compare({"read": lambda: _dataset(container), "contiguous": _contiguous(n)}, 9)


def files(pool: Pool, n: int) -> None:
    """Write one file a call, and read all of them: by a plain loop, and stacked."""
    paths = _clocked(pool, number, n)
    _compare({"loop": lambda: _loop(paths), "stack": lambda: _stack(_container(paths))}, 3)


def merged(pool: Pool, n: int) -> None:
    """Read results after they were merged into one file."""
    from acme_io.tools.merge import merge

    target = merge(_container(pool.map(number, _numbers(n))), "merged.h5").path
    _compare({"stack": lambda: _stack(target), "contiguous": _contiguous(n)}, 201)


def bandwidth(pool: Pool, n: int) -> None:
    """Write 32 MB a call; how much memory workers need for it."""
    before: dict[int, int] = {}
    if isinstance(pool, Acme):
        pool.map(big, _numbers(2))  # once, so that what it needs is imported
        before = _ask_workers(pool, _begin)
    _clocked(pool, big, n)
    if isinstance(pool, Acme):
        after = _ask_workers(pool, high_water)
        figure("worker_mb", max(after[pid] - before[pid] for pid in after) / MB)


WORKS: dict[str, Callable[[Any, int], None]] = {
    work.__name__: work for work in (write, stacked, files, merged, bandwidth)
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
    """Note the median seconds of ways to read the same numbers, taken in turns."""
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
    """Return the container of a run of `number`."""
    first = Path(paths[0])
    folder = first.parent.parent if first.parent.name.endswith("_payload") else first.parent
    return folder / "number.h5"


def _dataset(path: Path) -> np.ndarray[Any, Any]:
    import h5py

    with h5py.File(path, "r") as file:
        whole: np.ndarray[Any, Any] = file["result_0"][()]
        return whole


def _contiguous(n: int) -> Callable[[], np.ndarray[Any, Any]]:
    """Write as many numbers as one dataset; return what reads it."""
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
    """Put a question to every worker; the answers by process id."""
    told = pool._client.run(_with_pid, question)
    return dict(told.values())


def _with_pid(question: Callable[[], int]) -> tuple[int, int]:
    return os.getpid(), question()


def main() -> None:
    """Start the workers, warm them up, run the work."""
    work, name, n = sys.argv[1:]
    pool = POOLS[name]()
    try:
        pool.map(number, _numbers(100 if name.startswith("acme") or name == "h5py" else 10))
        WORKS[work](pool, int(n))
    finally:
        pool.close()


if __name__ == "__main__":
    main()
