"""How fast clusters are: figures for SLURM, and what encryption costs.

    hatch run bench:slurm [NAME...] [--rounds N] [--esi-acme PYTHON]

Needs a SLURM cluster; `python tests-integration/slurm/lab.py start` makes one on this machine. Not
counted: the two cores of a laptop that play four nodes are slower than four nodes.

====== ================================================================================
start  from the call to 32 workers online; next to `SLURMCluster.scale(32)` alone
share  1000 calls of 50 ms, sleeping: the share of 32 workers' time that is in the calls
guide  set-up, run and clean-up of the user guide's example with 4 workers; next to esi-acme
short  10 000 short calls on local workers, encrypted and not
gather 1 GB of results collected in memory, encrypted and not
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
    """Fill in a script."""
    # Contests know no batch system, unless they are told where its commands are.
    environ = {"PATH": os.environ["PATH"]}
    return Contender(name, python, script.format(partition=PARTITION, **values), environ=environ)


def compare(title: str, figure: str, contenders: list[Contender], rounds: int) -> None:
    """Let contenders take turns and print the medians, and their ratios to the last one."""
    runs = compete(contenders, rounds, timeout=600)
    found = spreads(runs, figure)
    last = found[contenders[-1].name].median
    for name, spread in found.items():
        print(f"{title:7} {name:16} {spread.median:8.3f} s   x {spread.median / last:5.2f}")


def start(rounds: int, _python: Path | None) -> None:
    """Time until 32 workers are online."""
    both = [contender("acme", START_ACME, n=32), contender("SLURMCluster", START_PLAIN, n=32)]
    compare("start", "seconds", both, rounds)


def share(rounds: int, _python: Path | None) -> None:
    """Print how much of the workers' time is in the calls."""
    for n in (32, 8):
        runs = compete([contender("acme", SHARE, n=n)], rounds, warm_up=False, timeout=600)
        for figure in ("first run", "second run"):
            print(f"share   {n:2} workers, {figure:10} {spreads(runs, figure)['acme'].median:6.2f}")


def guide(rounds: int, python: Path | None) -> None:
    """Time of the user guide's example, from the imports to the end of the clean-up."""
    peer = python or environment("esi-acme")
    # Away from its home it has to be told a partition even for workers that are there, and looks
    # for the jobs' output where an option of sbatch puts it.
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
    """Make the comparison of encrypted with plain connections for one figure."""

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
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description="How fast clusters are.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--esi-acme", type=Path, help="a Python that has it; else one is made")
    options = parser.parse_args()
    if unknown := set(options.names) - set(ROWS):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    print(machine(), flush=True)
    for name in options.names or ROWS:
        ROWS[name](options.rounds, options.esi_acme)


if __name__ == "__main__":
    main()
