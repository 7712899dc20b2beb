"""The cost of a batch, a call, a file and a worker to client and scheduler: ``limits.py WHAT``.

Runs as a script; `scaling` reads the figures.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from memory import forget_high_water, high_water, resident
from stopwatch import figure

SLOTS = 16
FILES = 20_000
CALLS = 1_000_000
WORKERS = 8


def same(x: Any) -> Any:
    """Return the argument."""
    return x


def nap(x: int) -> int:
    """Sleep slightly longer than the target time of a batch, so each call is its own batch."""
    time.sleep(0.25)
    return x


def acme_run(func: Callable[..., Any], n: int, **options: Any) -> Any:
    """Run `n` calls; return the finished `ParallelMap`."""
    from acme import ParallelMap

    with ParallelMap(func, range(n), verbose=False, stop_client=False, **options) as pmap:
        pmap.compute()
    return pmap


def tasks() -> None:
    """Measure tasks per second through dask's scheduler, with two workers."""
    from distributed import Client

    n = 2_000
    with Client(n_workers=2, threads_per_worker=1, dashboard_address=None) as client:
        client.gather(client.map(same, range(100), pure=False))
        start = time.perf_counter()
        client.gather(client.map(same, range(n), pure=False))
        figure("tasks_per_second", n / (time.perf_counter() - start))


def batches() -> None:
    """Measure the CPU time of the client process, including the scheduler, per batch."""
    from distributed import Client

    n = 30 * SLOTS
    with Client(n_workers=2, threads_per_worker=SLOTS // 2, dashboard_address=None):
        acme_run(nap, 2 * SLOTS, write_worker_results=False)
        idle = time.process_time()
        time.sleep(2)
        idle = (time.process_time() - idle) / 2
        wall, used = time.perf_counter(), time.process_time()
        acme_run(nap, n, write_worker_results=False)
        wall, used = time.perf_counter() - wall, time.process_time() - used
        figure("ms_per_batch", 1000 * (used - idle * wall) / n)
        figure("batches", n)


def calls() -> None:
    """Measure CPU time and memory of the client per call, with results in memory."""
    from acme import cluster_cleanup, local_cluster_setup

    client = local_cluster_setup(n_workers=2, interactive=False)
    acme_run(same, 1000, write_worker_results=False)
    forget_high_water()
    before, used, start = resident(), time.process_time(), time.perf_counter()
    acme_run(same, CALLS, write_worker_results=False)
    figure("us_per_call", 1e6 * (time.process_time() - used) / CALLS)
    figure("us_per_call_wall", 1e6 * (time.perf_counter() - start) / CALLS)
    figure("bytes_per_call", (high_water() - before) / CALLS)
    cluster_cleanup(client)


def files() -> None:
    """Measure calls per second, disk space and memory per call for each storage layout."""
    from acme import cluster_cleanup, local_cluster_setup

    ways: dict[str, dict[str, Any]] = {
        "each": {},
        "stacked": {"result_shape": (None,)},
        "single": {"single_file": True},
    }
    client = local_cluster_setup(n_workers=2, interactive=False)
    for way, options in ways.items():
        acme_run(same, 200, output_dir=f"warm-{way}", **options)
        forget_high_water()
        before, start = resident(), time.perf_counter()
        pmap = acme_run(same, FILES, output_dir=way, **options)
        figure(f"{way}_per_second", FILES / (time.perf_counter() - start))
        figure(f"{way}_memory", (high_water() - before) / FILES)
        found = [path for path in Path(way).rglob("*") if path.is_file()]
        figure(f"{way}_files", len(found))
        figure(f"{way}_bytes", sum(512 * path.stat().st_blocks for path in found) / FILES)
        container = Path(pmap.results_container)
        figure(f"{way}_container", 512 * container.stat().st_blocks / FILES)
        shutil.rmtree(way)
    cluster_cleanup(client)


def workers() -> None:
    """Measure file descriptors, memory and CPU time of the scheduler per idle worker."""
    from distributed import Client, LocalCluster

    command = [sys.executable, "-m", "distributed.cli.dask_worker", "--nthreads", "1"]
    with (
        LocalCluster(n_workers=0, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        fds, memory = _descriptors(), resident()
        address = cluster.scheduler_address
        more = ["--no-dashboard", "--local-directory", os.getcwd(), address]
        started = [
            subprocess.Popen([*command, *more], stderr=subprocess.DEVNULL) for _ in range(WORKERS)
        ]
        try:
            client.wait_for_workers(WORKERS, timeout=60)
            time.sleep(2)
            figure("descriptors_per_worker", (_descriptors() - fds) / WORKERS)
            figure("kb_per_worker", (resident() - memory) / WORKERS / 1000)
            used = time.process_time()
            time.sleep(4)
            figure("idle_percent_per_worker", 100 * (time.process_time() - used) / 4 / WORKERS)
        finally:
            for process in started:
                process.terminate()
            for process in started:
                process.wait()


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


if __name__ == "__main__":
    {what.__name__: what for what in (tasks, batches, calls, files, workers)}[sys.argv[1]]()
