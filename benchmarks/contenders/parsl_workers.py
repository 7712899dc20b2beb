"""Workers of Parsl's high-throughput executor: ``parsl_workers.py WORKERS SECONDS CALLS``.

Each is a process of its own, so this machine holds a hundred; calls sleep, as in `simulation`. The
workers are there before the clock starts.

Runs as a script, in an environment with Parsl; `scaling` reads its figures.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import parsl
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider
from stopwatch import figure


def nap(x: int, seconds: float) -> int:
    """Sleep; stands for a call that computes on a core of its own."""
    import time

    time.sleep(seconds)
    return x


def measure(n_workers: int, seconds: float, n: int) -> None:
    """Note the share of the workers' time in calls."""
    # Parsl starts a shell and programs of its own environment by name.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.defpath])
    with tempfile.TemporaryDirectory() as folder:
        executor = HighThroughputExecutor(
            label="htex",
            address="127.0.0.1",
            loopback_address="127.0.0.1",
            max_workers_per_node=n_workers,
            # By default, there are no more workers than cores.
            cores_per_worker=1e-6,
            provider=LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1),
        )
        config = Config(
            executors=[executor], run_dir=folder, initialize_logging=False, strategy="none"
        )
        app = parsl.python_app(nap)
        with parsl.load(config):
            # Three calls for each worker: all of them are up.
            for future in [app(x, 0.5) for x in range(3 * n_workers)]:
                future.result()
            start = time.perf_counter()
            futures = [app(x, seconds) for x in range(n)]
            assert [future.result() for future in futures] == list(range(n))
            wall = time.perf_counter() - start
    figure("share", n * seconds / n_workers / wall)
    figure("calls_per_second", n / wall)


if __name__ == "__main__":
    measure(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
