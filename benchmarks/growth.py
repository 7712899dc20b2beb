"""What a client that is used for many runs keeps of them: resident memory after every 250 runs.

One client and two local workers; runs of every kind in turn, or of one kind. The growth counts from
the end of a warm-up. Unlike times, it does not depend on what else the machine does. ``--plain``
takes a cluster of dask's own, whose logs and spans belong to its user.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from contest import markdown_table

from acme import ComputeError, ParallelMap, cluster_cleanup, each, local_cluster_setup, shared

MB = 1_000_000


def f(x: float, y: float, z: float = 3) -> float:
    """Return what the user guide's first function returns."""
    return (x + y) * z


def fails(x: int) -> int:
    """Fail in one of all calls."""
    if x == 2:
        raise ValueError(f"call {x}")
    return x


def size(_x: Any, values: Any) -> int:
    """Return the length of a shared argument."""
    return len(values)


def in_memory(func: Callable[..., Any], *args: Any, **options: Any) -> None:
    """Compute with results in memory; calls may fail."""
    pmap = ParallelMap(func, *args, write_worker_results=False, verbose=False)
    with suppress(ComputeError), pmap:
        pmap.compute(**options)


def on_disk(func: Callable[..., Any], *args: Any, **options: Any) -> None:
    """Compute with results on disk, and remove them; calls may fail."""
    with ParallelMap(func, *args, verbose=False, **options) as pmap:
        with suppress(ComputeError):
            pmap.compute()
        shutil.rmtree(str(pmap.output_dir))


def interrupted() -> None:
    """End a run by an exception in the client."""

    def items() -> Any:
        yield from range(20)
        raise KeyError("no more items")

    with (
        suppress(KeyError),
        ParallelMap(
            abs, each(items()), n_inputs=40, write_worker_results=False, verbose=False
        ) as pmap,
    ):
        pmap.compute()


KINDS: dict[str, Callable[[int], None]] = {
    "memory": lambda i: in_memory(f, [2, 4, 6, i], 4),
    "files": lambda i: on_disk(f, [2, 4, 6, i], 4),
    "stacked": lambda i: on_disk(f, range(20), i, result_shape=(None,)),
    "single file": lambda i: on_disk(f, range(20), i, single_file=True),
    "200 lists": lambda i: in_memory(len, [[i] * 20 for _ in range(200)]),
    "failed calls": lambda _: in_memory(fails, range(4)),
    "failed calls, files": lambda _: on_disk(fails, range(4)),
    "stopped": lambda _: in_memory(fails, range(100), on_error="stop"),
    "interrupted": lambda _: interrupted(),
    "large list": lambda i: in_memory(size, range(4), shared([i] * 40_000)),
    "large array": lambda i: in_memory(size, range(4), shared(np.full(MB, float(i)))),
    "large arrays": lambda i: in_memory(np.sum, [np.full(MB // 4, float(i))] * 4),
    "large results": lambda i: in_memory(np.full, [MB // 4] * 4, [i] * 4),
}


def resident(pid: int) -> int:
    """Return bytes of a process that are in memory, pages that it shares included."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def grow(client: Any, kinds: list[str], runs: int, warm_up: int) -> list[list[str]]:
    """Run and measure; return the rows of the table."""
    pids = [os.getpid(), *client.run(os.getpid).values()]
    rows: list[list[str]] = []
    before: list[int] = []
    for number in range(warm_up + runs + 1):
        done = number - warm_up
        if done >= 0 and (done % 250 == 0 or done == runs):
            gc.collect()
            now = [resident(pid) for pid in pids]
            before = before or now
            growth = [(new - old) / MB for new, old in zip(now, before, strict=True)]
            rows.append([str(done), *(f"{one:+.1f} MB" for one in growth)])
            print(*rows[-1], sep="\t", file=sys.stderr, flush=True)
        KINDS[kinds[number % len(kinds)]](number)
    return rows


def main() -> None:
    """Parse the command line, run, print the table."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--runs", type=int, default=1000)
    options.add_argument("--warm-up", type=int, default=50, help="runs before the first figure")
    options.add_argument("--kind", nargs="+", choices=KINDS, default=list(KINDS))
    options.add_argument("--plain", action="store_true", help="a cluster that ACME did not start")
    chosen = options.parse_args()

    # Half of the runs fail, as they shall.
    logging.getLogger("acme_core").setLevel(logging.ERROR)
    folder = os.getcwd()
    with tempfile.TemporaryDirectory(prefix="growth-") as scratch:
        os.chdir(scratch)
        if chosen.plain:
            from distributed import Client

            client = Client(n_workers=2, threads_per_worker=1, dashboard_address=None)
        else:
            client = local_cluster_setup(n_workers=2, interactive=False)
        try:
            rows = grow(client, chosen.kind, chosen.runs, chosen.warm_up)
        finally:
            cluster_cleanup(client)
            os.chdir(folder)
    workers = [f"worker {number}" for number in range(len(rows[0]) - 2)]
    print(markdown_table(["runs", "client", *workers], rows))


if __name__ == "__main__":
    main()
