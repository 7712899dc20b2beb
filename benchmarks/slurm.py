"""Measure ACME on a SLURM cluster, and the cost of encryption.

    hatch run bench:slurm [NAME...] [--rounds N] [--esi-acme PYTHON]

Needs a SLURM cluster; `python tests-integration/slurm/lab.py start` creates one on this machine.
Four nodes simulated on two cores are slower than real nodes.

====== ================================================================================
start  from the setup call to 32 workers online, compared with `SLURMCluster.scale(32)`
share  1000 calls that sleep 50 ms: fraction of the time of 32 workers spent in calls
guide  the user guide's example with 4 workers (setup, run, clean-up), compared with esi-acme
short  10 000 short calls on local workers, with and without encryption
gather 1 GB of results collected in memory, with and without encryption
====== ================================================================================
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from contest import Contender, compete, environment, machine, spreads

PYTHON = Path(sys.executable)
PARTITION = os.environ.get("BENCHMARK_PARTITION", "16GBXS")

START_ACME = """
import time
from acme_cluster import cluster_cleanup, slurm_cluster_setup
from stopwatch import figure
start = time.perf_counter()
client = slurm_cluster_setup(
    "{partition}", n_workers={n}, n_workers_startup={n}, mem_per_worker="700MB", timeout=300,
    interactive=False,
)
figure("seconds", time.perf_counter() - start)
cluster_cleanup(client)
"""
START_PLAIN = """
import time
from dask_jobqueue import SLURMCluster
from distributed import Client
from stopwatch import figure

if __name__ == "__main__":
    start = time.perf_counter()
    with SLURMCluster(
        queue="{partition}", cores=1, processes=1, memory="700MiB", walltime="00:20:00",
        scheduler_options={{"dashboard": False}},
    ) as cluster, Client(cluster) as client:
        cluster.scale({n})
        client.wait_for_workers({n}, timeout=300)
        figure("seconds", time.perf_counter() - start)
"""
SHARE = """
import time
from acme import ParallelMap
from acme_cluster import cluster_cleanup, slurm_cluster_setup
from stopwatch import figure

def nap(x):
    import time
    start = time.perf_counter()
    time.sleep(0.05)
    return time.perf_counter() - start

client = slurm_cluster_setup(
    "{partition}", n_workers={n}, n_workers_startup={n}, mem_per_worker="700MB", timeout=300,
    interactive=False,
)
time.sleep(3)
for name in ("first run", "second run"):
    start = time.perf_counter()
    with ParallelMap(nap, range(1000), write_worker_results=False, verbose=False) as pmap:
        in_calls = sum(pmap.compute())
    figure(name, in_calls / {n} / (time.perf_counter() - start))
cluster_cleanup(client)
"""
GUIDE = """
import os
import time
start = time.perf_counter()
from acme import ParallelMap, cluster_cleanup, slurm_cluster_setup
from stopwatch import figure

def f(x, y, z=3):
    return (x + y) * z

if __name__ == "__main__":
    client = slurm_cluster_setup(
        "{partition}", n_workers=4, n_workers_startup=4, mem_per_worker="1GB",
        interactive=False{setup}
    )
    with ParallelMap(f, [2, 4, 6, 8], 4{options}) as pmap:
        results = pmap.compute()
    cluster_cleanup(client)
    assert len(results) == 4
    figure("seconds", time.perf_counter() - start)
"""
TLS = """
import time
import dask
import numpy as np
from acme import ParallelMap, cluster_cleanup, local_cluster_setup
from stopwatch import figure

dask.config.set({{"acme.local.tls": {tls}, "acme.dashboard": False}})
client = local_cluster_setup(2)

def run(function, n):
    start = time.perf_counter()
    with ParallelMap(function, range(n), write_worker_results=False, verbose=False) as pmap:
        pmap.compute()
    return time.perf_counter() - start

def megabytes(x):
    import numpy
    return numpy.full(10_000_000 // 8, float(x))

run(abs, 10)
figure("short", min(run(abs, 10_000) for _ in range(3)))
if {gather}:
    figure("gather", run(megabytes, 100))
cluster_cleanup(client)
"""


def contender(name: str, script: str, python: Path = PYTHON, **values: object) -> Contender:
    """Return a contender with the values filled into its script."""
    # `contest` hides batch systems with a short PATH; these scripts need SLURM's commands.
    environ = {"PATH": os.environ["PATH"]}
    return Contender(name, python, script.format(partition=PARTITION, **values), environ=environ)


def compare(title: str, figure: str, contenders: list[Contender], rounds: int) -> None:
    """Run contenders in turns; print the medians and their ratios to the last contender."""
    runs = compete(contenders, rounds, timeout=600)
    found = spreads(runs, figure)
    last = found[contenders[-1].name].median
    for name, spread in found.items():
        print(f"{title:7} {name:16} {spread.median:8.3f} s   x {spread.median / last:5.2f}")


def start(rounds: int, _python: Path | None) -> None:
    """Print the time until 32 workers are online."""
    both = [contender("acme", START_ACME, n=32), contender("SLURMCluster", START_PLAIN, n=32)]
    compare("start", "seconds", both, rounds)


def share(rounds: int, _python: Path | None) -> None:
    """Print the fraction of the workers' time spent in calls."""
    for n in (32, 8):
        runs = compete([contender("acme", SHARE, n=n)], rounds, warm_up=False, timeout=600)
        for figure in ("first run", "second run"):
            print(f"share   {n:2} workers, {figure:10} {spreads(runs, figure)['acme'].median:6.2f}")


def guide(rounds: int, python: Path | None) -> None:
    """Print the time of the user guide's example, from the imports to the end of clean-up."""
    peer = python or environment("esi-acme")
    # Outside its home cluster, esi-acme needs a partition even for running workers, and looks for
    # the output of jobs where sbatch's --output option puts it.
    named = {
        "setup": ', job_extra=[f"--output={os.getcwd()}/slurm-%j.out"]',
        "options": f', partition="{PARTITION}"',
    }
    both = [
        contender("acme", GUIDE, setup="", options=""),
        contender("esi-acme", GUIDE, peer, **named),
    ]
    compare("guide", "seconds", both, rounds)


def tls(figure: str) -> Callable[[int, Path | None], None]:
    """Return a comparison of encrypted and plain connections for one figure."""

    def run(rounds: int, _python: Path | None) -> None:
        gather = figure == "gather"
        both = [
            contender(name, TLS, tls=on, gather=gather)
            for name, on in (("TLS", True), ("none", False))
        ]
        compare(figure, figure, both, rounds)

    return run


ROWS: dict[str, Callable[[int, Path | None], None]] = {
    "start": start,
    "share": share,
    "guide": guide,
    "short": tls("short"),
    "gather": tls("gather"),
}


def main() -> None:
    """Run the measurements named on the command line."""
    parser = argparse.ArgumentParser(description="Measure ACME on a SLURM cluster.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(ROWS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--esi-acme", type=Path, help="an interpreter with esi-acme installed")
    options = parser.parse_args()
    if unknown := set(options.names) - set(ROWS):
        parser.error(f"unknown names: {', '.join(sorted(unknown))}")
    print(machine(), flush=True)
    for name in options.names or ROWS:
        ROWS[name](options.rounds, options.esi_acme)


if __name__ == "__main__":
    main()
