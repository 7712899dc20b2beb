"""Invariants whose violation changes no result, or only sometimes: memory, keys, copies, threads.

The tests of acme-core cover more: splitting the batch of a dead worker, removing files of large
arguments, the limit on futures, and the isolation of simultaneous runs.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme import ParallelMap, each, shared
from acme_core.arguments.distribution import distribute
from acme_core.transport.protocol import RunContext
from acme_core.worker.call_arguments import generator_for
from acme_core.worker.evaluation import BatchEvaluation

MB = 1_000_000


def in_memory(
    func: Callable[..., Any], /, *args: Any, compute: Any = None, **kwargs: Any
) -> list[Any]:
    with ParallelMap(func, *args, write_worker_results=False, verbose=False, **kwargs) as pmap:
        return list(pmap.compute(**(compute or {})) or ())


def status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))


# -- memory of the client --------------------------------------------------------------------


def dicts(n: int, size: int) -> Iterator[dict[str, Any]]:
    return ({"a": np.full(size // 8, float(i))} for i in range(n))


def texts(n: int, size: int) -> Iterator[str]:
    return (chr(65 + i % 26) * size for i in range(n))


def octets(n: int, size: int) -> Iterator[bytes]:
    return (bytes([i % 256]) * size for i in range(n))


def arrays(n: int, size: int) -> Iterator[np.ndarray[Any, Any]]:
    return (np.full(size // 8, float(i)) for i in range(n))


@pytest.mark.parametrize("items", [arrays, octets, texts, dicts])
@pytest.mark.parametrize(("n", "size"), [(64, 10 * MB), (6000, MB // 10)])
def test_client_holds_few_items_of_a_generator(
    client: Any, items: Callable[[int, int], Iterator[Any]], n: int, size: int
) -> None:
    """Pass 600 MB through the client, of which it holds only a fraction at a time."""
    in_memory(len, ["a", "b"])  # imports of the first run do not count
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    assert len(in_memory(len, each(items(n, size)), n_inputs=n)) == n
    assert status("VmHWM") - before < 250 * MB


def test_rows_of_an_array_are_sent_in_small_batches(client: Any) -> None:
    rows = np.ones((64, 10 * MB // 8))
    in_memory(len, ["a", "b"])
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    assert in_memory(lambda row: float(row[0]), each(rows)) == [1.0] * 64
    assert status("VmHWM") - before < 250 * MB


def test_workers_release_arguments(client: Any) -> None:
    """A worker holds the arguments of its current batch only."""

    def resident(x: Any) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) // 1000

    first = max(in_memory(resident, each(octets(8, 10 * MB)), n_inputs=8))
    last = max(in_memory(resident, each(octets(64, 10 * MB)), n_inputs=64))
    assert last < first + 150


# -- keys ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("client")
def test_equal_runs_on_one_client_are_all_evaluated(workdir: Path) -> None:
    """Repeat the same function with the same arguments: every call is evaluated."""
    (workdir / "marks").mkdir()
    array = np.ones(200_000)

    def g(x: int, array: Any, folder: str) -> float:
        Path(folder, str(time.time_ns()) + f"-{os.getpid()}-{x}").touch()
        return float(array.sum()) + x

    for number in range(1, 4):
        results = in_memory(g, [1, 1, 2, 2], shared(array), str(workdir / "marks"))
        assert results == [200_001.0, 200_001.0, 200_002.0, 200_002.0]
        assert len(list((workdir / "marks").iterdir())) == 4 * number


# -- shared arguments ------------------------------------------------------------------------


class Counter:
    """A mutable object of a user-defined class."""

    def __init__(self) -> None:
        self.n = 0
        self.big = np.zeros(300_000)


def spoil(x: int, value: Any) -> str:
    """Return whether the argument is unmodified, then modify every mutable part."""
    seen = pristine(value)
    disturb(value, x)
    return seen


def pristine(value: Any) -> str:
    import pickle

    import numpy

    if isinstance(value, numpy.ndarray) and not value.dtype.hasobject:
        return str(value.tobytes().count(b"\0") == value.nbytes)
    if isinstance(value, dict):
        return str(all(pristine(v) == "True" for v in value.values()) and "new" not in value)
    if isinstance(value, list | tuple) or type(value) is numpy.ndarray:
        return str(all(pristine(v) == "True" for v in value))
    if isinstance(value, set | bytearray):
        return str(not value)
    if hasattr(value, "__dict__"):
        return str(all(pristine(v) == "True" for v in vars(value).values()))
    return str(pickle.dumps(value) == pickle.dumps(0))


def disturb(value: Any, x: int) -> None:
    import numpy

    if isinstance(value, numpy.ndarray) and not value.dtype.hasobject:
        value[..., -1] = x + 1
        if value.flags.c_contiguous:
            value.shape = value.shape[::-1]
        value.setflags(write=False)
    elif isinstance(value, dict):
        for each_value in list(value.values()):
            disturb(each_value, x)
        value["new"] = x
    elif isinstance(value, list | tuple) or type(value) is numpy.ndarray:
        for each_value in value:
            disturb(each_value, x)
        if isinstance(value, list):
            value.append(x + 1)
    elif isinstance(value, set):
        value.add(x)
    elif isinstance(value, bytearray):
        value += b"x"
    elif hasattr(value, "__dict__"):
        for each_value in vars(value).values():
            disturb(each_value, x)
        value.n = x + 1


def object_array() -> Any:
    array = np.empty(2, object)
    array[0], array[1] = np.zeros(3), [0]
    return array


SHARED: dict[str, Callable[[], Any]] = {
    "small array": lambda: np.zeros((2, 3)),
    "large array": lambda: np.zeros((2, 200_000)),
    "large array in Fortran order": lambda: np.zeros((2, 200_000), order="F"),
    "view of a large array": lambda: np.zeros((4, 400_000))[::2, ::2],
    "array of objects": object_array,
    "dict of lists of arrays": lambda: {
        "a": [np.zeros(3), np.zeros((2, 200_000))],
        "b": {"c": [0]},
    },
    "tuple of lists": lambda: ([0], [np.zeros(4)]),
    "list": lambda: [0, 0],
    "set": set,
    "bytearray": bytearray,
    "own object": Counter,
    "list of own objects": lambda: [Counter(), Counter()],
}


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize("name", SHARED)
def test_every_call_gets_an_unmodified_shared_argument(name: str) -> None:
    """Make hundreds of calls, most of which share a batch; then run again."""
    value = SHARED[name]()
    assert in_memory(spoil, each(range(300)), shared(value)) == ["True"] * 300
    assert in_memory(spoil, each(range(3)), shared(value)) == ["True"] * 3
    assert pristine(value) == "True"


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize("name", SHARED)
def test_calls_given_the_same_object_get_separate_copies(name: str) -> None:
    """Pass a list with the same object many times: each call gets its own copy."""
    value = SHARED[name]()
    assert in_memory(spoil, range(60), each([value] * 60)) == ["True"] * 60
    assert pristine(value) == "True"


@pytest.mark.usefixtures("client")
def test_workers_share_the_memory_of_a_large_array() -> None:
    """By proportional set size (PSS), both workers together hold one copy."""

    def g(x: int, array: Any) -> tuple[int, int, int]:
        total = float(array.sum())
        time.sleep(0.05)
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
        pss = 1024 * next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return os.getpid(), time.monotonic_ns(), pss if total >= 0 else 0

    def together(array: Any) -> int:
        reports = sorted(in_memory(g, each(range(24)), shared(array)), key=lambda report: report[1])
        last = {pid: pss for pid, _, pss in reports}
        assert len(last) == 2
        return sum(last.values())

    without = together(np.ones(10))
    size = 100 * MB
    assert 0.9 * size < together(np.ones(size // 8)) - without < 1.2 * size


# -- threads ---------------------------------------------------------------------------------

THREADS = """
import os, sys
import dask
from distributed import Client

threads = int(sys.argv[1])

def pools(x):
    import numpy, threadpoolctl
    numpy.ones((50, 50)) @ numpy.ones((50, 50))
    found = [p["num_threads"] for p in threadpoolctl.threadpool_info() if p["user_api"] == "blas"]
    assert found, "threadpoolctl does not know numpy's BLAS"
    set_by_acme = [os.environ[name + "_NUM_THREADS"] for name in ("OMP", "NUMBA", "NUMEXPR")]
    return found + [int(n) for n in set_by_acme]

if __name__ == "__main__":
    # dask sets one thread by default, regardless of the threads of the worker.
    dask.config.set({"distributed.nanny.pre-spawn-environ": {"OPENBLAS_NUM_THREADS": "7"}})
    from acme import ParallelMap
    with Client(n_workers=1, threads_per_worker=threads, dashboard_address=None) as client:
        with ParallelMap(pools, range(3), write_worker_results=False, verbose=False) as pmap:
            seen = {n for result in pmap.compute() for n in result}
    print("seen:", sorted(seen))
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_thread_pools_match_the_workers_of_a_users_client(
    run_python: Any, workdir: Path, threads: int
) -> None:
    (workdir / "script.py").write_text(THREADS)
    done = run_python("script.py", str(threads))
    assert f"seen: [{threads}]" in done.stdout


# -- random numbers --------------------------------------------------------------------------


def draw(x: int, rng: Any) -> float:
    return float(rng.random())


@given(
    seed=st.integers(0, 2**128),
    cuts=st.lists(st.integers(1, 39), unique=True),
    again=st.lists(st.integers(0, 39)),
)
def test_numbers_do_not_depend_on_batches_and_retries(
    seed: int, cuts: list[int], again: list[int]
) -> None:
    n = 40
    expected = [
        np.random.default_rng(child).random() for child in np.random.SeedSequence(seed).spawn(n)
    ]
    distribution = distribute(draw, (range(n),), {}, "auto")
    order = RunContext(draw, distribution.template, {}, seed)
    borders = [0, *sorted(cuts), n]
    seen: dict[int, set[float]] = {call: set() for call in range(n)}
    batches = [*itertools.pairwise(borders), *((c, c + 1) for c in again)]
    for number, (start, stop) in enumerate(batches):
        batch = BatchEvaluation(order, start, stop - start, attempt=1 + number % 3)
        outcome = batch.run(distribution.columns(start, stop))
        assert outcome.values is not None
        for call, value in enumerate(outcome.values, start):
            seen[call].add(value)
    assert [seen[call] for call in range(n)] == [{value} for value in expected]
    assert generator_for(seed, 3).random() == expected[3]


def test_numbers_do_not_depend_on_workers_and_failures(no_client: None, workdir: Path) -> None:
    """Compare one worker, two workers, calls that fail once, and a call that kills its worker."""

    def g(x: int, trouble: str, rng: Any) -> float:
        value = float(rng.random())
        mark = Path(trouble, str(x))
        if trouble and x % 7 == 0 and not mark.exists():
            mark.touch()
            if x == 14:
                os._exit(1)
            raise ValueError("at first")
        return value

    def run(workers: int, trouble: str) -> list[float]:
        return in_memory(
            g, range(50), trouble, n_workers=workers, compute={"seed": 5, "retries": 2}
        )

    (workdir / "marks").mkdir()
    expected = [np.random.default_rng(s).random() for s in np.random.SeedSequence(5).spawn(50)]
    assert run(1, "") == run(2, "") == run(2, str(workdir / "marks")) == expected
