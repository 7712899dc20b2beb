"""How long a first run takes: from the start of the process to its results, and to its end.

The user guide's first example, four calls of a short function, each time in a fresh process and a
fresh folder:

- ``acme``: with its results on disk, local workers, TLS on, as anybody would write it;
- ``esi-acme``: the same lines, below a `__main__` guard, with the package that goes by this name on
  the public index, in a virtual environment of its own (made at the first use, in
  ``benchmarks/environments``);
- ``plain dask``: a `distributed.LocalCluster` without dashboard and without TLS, `Client.map` and
  `Client.gather`; nothing is written.

The contenders take turns, so that whatever else the machine does meets them all. Medians are
printed, and the ratios to the first contender. Nothing is judged here: a figure that has to hold
belongs to a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ENVIRONMENTS = Path(__file__).parent / "environments"

# `mark` notes when a phase was over, in seconds since the parent started the process.
PRELUDE = """\
import json, os, sys, time
marks = {}
def mark(phase):
    marks[phase] = time.time() - float(os.environ["BENCHMARK_START"])
mark("interpreter")
"""
POSTLUDE = """
with open("marks.json", "w") as file:
    json.dump(marks, file)
"""
ACME = """\
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
# The peer's workers import the script, so there its lines need a guard.
ESI_ACME = """\
def f(x, y, z=3):
    return (x + y) * z

if __name__ == "__main__":
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


class Contender(NamedTuple):
    """Who takes part: its Python and what that runs."""

    name: str
    python: Path
    script: str


def environment(requirement: str) -> Path:
    """Make a virtual environment that holds one requirement, unless it is there already.

    Parameters
    ----------
    requirement : str
        As for pip, for instance ``"esi-acme"`` or ``"esi-acme==2026.6.2"``.

    Returns
    -------
    pathlib.Path
        The environment's Python.
    """
    folder = ENVIRONMENTS / requirement.replace("==", "-")
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"making an environment with {requirement} in {folder}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", requirement], check=True)
    return python


def run_once(contender: Contender) -> dict[str, float]:
    """Run a contender in a fresh process and folder.

    Returns
    -------
    dict of str to float
        Seconds from the start of the process to the end of each phase; ``"exit"`` is the last.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        script = Path(folder, "script.py")
        guard = 'if __name__ == "__main__":\n' + "".join(
            f"    {line}\n" for line in POSTLUDE.strip().splitlines()
        )
        script.write_text(PRELUDE + contender.script + guard)
        # All on this machine: a batch system that happens to be installed is not found.
        environ = os.environ | {"PATH": str(contender.python.parent)}
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        start = time.time()
        done = subprocess.run(
            [contender.python, script],
            cwd=folder,
            env=environ | {"BENCHMARK_START": repr(start)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            text=True,
            check=False,
        )
        end = time.time() - start
        if done.returncode:
            raise SystemExit(f"{contender.name} failed:\n{done.stderr}")
        marks: dict[str, float] = json.loads(Path(folder, "marks.json").read_text())
    return {**marks, "exit": end}


def report(runs: dict[str, list[dict[str, float]]]) -> None:
    """Print medians of every phase, and the ratios of the first contender to the others."""
    medians = {
        name: {phase: statistics.median(run[phase] for run in each) for phase in each[0]}
        for name, each in runs.items()
    }
    ours, *_ = medians
    for name, phases in medians.items():
        spread = [run["results"] for run in runs[name]]
        print(f"\n{name}: results after {min(spread):.2f} to {max(spread):.2f} s; medians")
        previous = 0.0
        for phase, seconds in phases.items():
            print(f"  {phase:<20} {seconds:6.2f} s  (+{seconds - previous:.2f})")
            previous = seconds
    print()
    for name, phases in medians.items():
        if name != ours:
            for phase in ("results", "exit"):
                ratio = medians[ours][phase] / phases[phase]
                print(f"{ours} / {name}, process start to {phase}: {ratio:.2f}")


def main() -> None:
    """Parse the command line, let the contenders take turns, print the figures."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=5, help="runs of each contender")
    options.add_argument("--peer", default="esi-acme", help="requirement of the peer")
    options.add_argument("--peer-python", type=Path, help="a Python that has the peer already")
    chosen = options.parse_args()

    contenders = [
        Contender("acme", Path(sys.executable), ACME),
        Contender("esi-acme", chosen.peer_python or environment(chosen.peer), ESI_ACME),
        Contender("plain dask", Path(sys.executable), PLAIN_DASK),
    ]
    runs: dict[str, list[dict[str, float]]] = {contender.name: [] for contender in contenders}
    for contender in contenders:
        run_once(contender)  # the first run compiles modules to bytecode
    for _ in range(chosen.rounds):
        for contender in contenders:
            runs[contender.name].append(run_once(contender))
    report(runs)


if __name__ == "__main__":
    main()
