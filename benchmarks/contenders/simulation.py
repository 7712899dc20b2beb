"""Hundreds of workers on one machine: ``simulation.py WHO WORKERS SECONDS CALLS``.

::

    this process: client, scheduler ──TLS──┬── process with half of the workers
                                           └── process with the other half

The workers are dask's own, each with its connections, heartbeats and one thread for calls; only
their processes are shared. Calls sleep, so hundreds of them need next to no processor time, and the
machine's cores are left to what is measured: the client, the scheduler and their messages.

``WHO`` is ``acme`` or ``map`` (plain `Client.map`). ``SECONDS`` is what one call takes.

Runs as a script; `scaling` reads its figures.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stopwatch import figure

PROCESSES = 2

# What each worker does for itself in the background. In a process of its own it costs little; for
# hundreds in one process it would take both cores, and none of it is what is measured here.
SIMULATED = {
    # Twenty milliseconds by default: ten thousand ticks per second of a process.
    "distributed.admin.tick.interval": "1s",
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.interval": "1h",
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
}


def nap(x: int, seconds: float) -> int:
    """Sleep; stands for a call that computes on a core of its own."""
    time.sleep(seconds)
    return x


# -- workers -------------------------------------------------------------------------------------


def serve(address: str, n_workers: int, tls: dict[str, str]) -> None:
    """Run workers in this process until their scheduler is gone."""
    import dask
    from distributed import Worker
    from distributed.security import Security

    async def work() -> None:
        # One after the other would take a minute for hundreds; all at once, some would time out.
        gate = asyncio.Semaphore(16)

        async def start() -> Worker:
            async with gate:
                worker: Worker = await Worker(
                    address,
                    nthreads=1,
                    memory_limit=0,
                    dashboard=False,
                    security=Security(**tls, require_encryption=bool(tls)),
                )
                return worker

        workers = await asyncio.gather(*(start() for _ in range(n_workers)))
        await asyncio.gather(*(worker.finished() for worker in workers))

    with dask.config.set(SIMULATED):
        asyncio.run(work())


class Simulation:
    """A scheduler in this process, and workers that share others.

    Attributes
    ----------
    client : distributed.Client
        Connected to the scheduler.
    processes : list of subprocess.Popen
        Those of the workers.
    """

    def __init__(self, client: Any, tls: dict[str, str]) -> None:
        self.client = client
        self.processes: list[subprocess.Popen[bytes]] = []
        self._tls = tls

    def add_workers(self, n_workers: int) -> None:
        """Start workers in a process of their own, without waiting for them."""
        address = self.client.cluster.scheduler_address
        self.processes.append(
            subprocess.Popen(
                [sys.executable, __file__, "serve", address, str(n_workers)],
                env=dict(os.environ) | {"SIMULATION_TLS": json.dumps(self._tls)},
                stderr=subprocess.DEVNULL,
            )
        )

    def stop(self) -> None:
        """Kill all workers."""
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()


@contextmanager
def simulated(n_workers: int, *, encrypted: bool = True) -> Iterator[Simulation]:
    """Start a scheduler here and its workers in two processes."""
    from distributed import Client, LocalCluster
    from distributed.security import Security

    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    security = Security.temporary() if encrypted else Security()
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCluster(
            n_workers=0,
            dashboard_address="127.0.0.1:0",
            security=security,
            protocol=_protocol(encrypted),
        ) as cluster,
        Client(cluster, security=security) as client,
    ):
        simulation = Simulation(client, _keys(security, Path(folder)) if encrypted else {})
        try:
            for i in range(min(n_workers, PROCESSES)):
                simulation.add_workers(len(range(i, n_workers, PROCESSES)))
            client.wait_for_workers(n_workers, timeout=300)
            yield simulation
        finally:
            simulation.stop()


def _protocol(encrypted: bool) -> str:
    return "tls://" if encrypted else "tcp://"


def _keys(security: Any, folder: Path) -> dict[str, str]:
    """Write the keys of a cluster to files that the workers' processes can read."""
    files = {}
    for name in ("tls_ca_file", "tls_worker_cert", "tls_worker_key"):
        path = folder / name
        path.write_text(getattr(security, name))
        files[name] = str(path)
    return files


# -- contenders ----------------------------------------------------------------------------------


def run_acme(client: Any, n: int, seconds: float) -> None:
    """Run calls through `ParallelMap`; results in memory."""
    from acme import ParallelMap

    with ParallelMap(
        nap, range(n), seconds, n_inputs=n, write_worker_results=False, verbose=False
    ) as pmap:
        assert pmap.compute() == list(range(n))


def run_map(client: Any, n: int, seconds: float) -> None:
    """Run calls through `Client.map`: a task each."""
    futures = client.map(nap, range(n), [seconds] * n, pure=False)
    assert client.gather(futures) == list(range(n))


WHO: dict[str, Callable[[Any, int, float], None]] = {"acme": run_acme, "map": run_map}


def measure(who: str, n_workers: int, seconds: float, n: int) -> None:
    """Note the share of the workers' time in calls, and the time that the client needed."""
    run = WHO[who]
    with simulated(n_workers, encrypted=os.environ.get("SIMULATION_PLAIN") is None) as simulation:
        client = simulation.client
        # Functions are loaded and connections opened; a short run, which teaches nobody sizes.
        run(client, 2 * n_workers, 0.01)
        time.sleep(2)
        before, wall = _processor_seconds(), time.perf_counter()
        run(client, n, seconds)
        wall, after = time.perf_counter() - wall, _processor_seconds()
        ideal = n * seconds / n_workers
        figure("share", ideal / wall)
        figure("calls_per_second", n / wall)
        for name in before:
            figure(f"{name}_cores", (after[name] - before[name]) / ideal)


def _processor_seconds() -> dict[str, float]:
    """Return the processor time of the client's threads and of the workers' processes.

    Unlike the share, it says much on a machine that others use as well: related to the time that
    the run should take, it is the number of cores that keeping up needs.
    """
    import psutil

    seconds = {"client": time.process_time(), "client_run": time.thread_time()}
    children = psutil.Process().children()
    seconds["workers"] = sum(sum(child.cpu_times()[:2]) for child in children)
    return seconds


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2], int(sys.argv[3]), json.loads(os.environ["SIMULATION_TLS"]))
    else:
        measure(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
