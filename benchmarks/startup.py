"""Measure a first run, from process start to its results and to the end of the process.

The script is the user guide's first example, four calls of a short function, each time in a new
process and a new folder:

- ``acme``: with defaults: results on disk, local workers, TLS;
- ``acme without TLS``: the same with ``acme.local.tls: false`` in dask's configuration;
- ``esi-acme``: the same lines below a `__main__` guard, with the package of that name on the public
  index, in its own virtual environment (created on first use in ``benchmarks/environments``);
- ``plain dask``: a `distributed.LocalCluster` without dashboard and TLS, `Client.map` and
  `Client.gather`; writes no results.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from contest import Contender, Figures, Spread, compete, environment, spreads

WITHOUT_TLS = {"DASK_ACME__LOCAL__TLS": "False"}

ACME = """\
from stopwatch import mark
mark("interpreter")
import os

def f(x, y, z=3):
    return (x + y) * z

from acme import ParallelMap
mark("import acme")
with ParallelMap(f, [2, 4, 6, 8], 4) as pmap:
    results = pmap.compute()
    mark("results")
mark("cleanup")
assert len(results) == 4 and all(os.path.exists(path) for path in results)
"""
# The peer's workers import the script, so it needs a `__main__` guard.
ESI_ACME = """\
def f(x, y, z=3):
    return (x + y) * z

if __name__ == "__main__":
    from stopwatch import mark
    mark("interpreter")
    import os
    from acme import ParallelMap
    mark("import acme")
    with ParallelMap(f, [2, 4, 6, 8], 4) as pmap:
        results = pmap.compute()
        mark("results")
    mark("cleanup")
    assert len(results) == 4 and all(os.path.exists(path) for path in results)
"""
PLAIN_DASK = """\
def f(x, y, z=3):
    return (x + y) * z

if __name__ == "__main__":
    from stopwatch import mark
    mark("interpreter")
    import os
    from distributed import Client, LocalCluster
    mark("import distributed")
    workers = min(len(os.sched_getaffinity(0)), 4)
    with LocalCluster(
        n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster, Client(cluster) as client:
        results = client.gather(client.map(f, [2, 4, 6, 8], [4] * 4))
        mark("results")
    mark("cleanup")
    assert results == [18, 24, 30, 36]
"""


def contenders(peer: Path) -> list[Contender]:
    """Return the contenders; `peer` is an interpreter with esi-acme."""
    here = Path(sys.executable)
    return [
        Contender("acme", here, ACME),
        Contender("acme without TLS", here, ACME, environ=WITHOUT_TLS),
        Contender("esi-acme", peer, ESI_ACME),
        Contender("plain dask", here, PLAIN_DASK),
    ]


def report(runs: dict[str, list[Figures]]) -> None:
    """Print the medians of all phases, and the ratios of ACME to the other contenders."""
    medians: dict[str, Figures] = {}
    for name, each in runs.items():
        phases = {phase: Spread.of(run[phase] for run in each).median for phase in each[0]}
        medians[name] = phases
        results = spreads(runs, "results")[name]
        print(f"\n{name}: results after {results.low:.2f} to {results.high:.2f} s; medians")
        previous = 0.0
        for phase, seconds in phases.items():
            print(f"  {phase:<20} {seconds:6.2f} s  (+{seconds - previous:.2f})")
            previous = seconds
    print()
    for ours in ("acme", "acme without TLS"):
        for peer in ("esi-acme", "plain dask"):
            for phase in ("results", "exit"):
                ratio = medians[ours][phase] / medians[peer][phase]
                print(f"{ours} / {peer}, process start to {phase}: {ratio:.2f}")


def main() -> None:
    """Run the contenders in turns and print the figures."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=5, help="runs of each contender")
    options.add_argument("--peer", default="esi-acme", help="pip requirement of the peer")
    options.add_argument("--peer-python", type=Path, help="an interpreter with the peer installed")
    chosen = options.parse_args()

    peer = chosen.peer_python or environment(chosen.peer)
    report(compete(contenders(peer), chosen.rounds))


if __name__ == "__main__":
    main()
