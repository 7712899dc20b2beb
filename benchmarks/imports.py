"""Measure the import time of each package, each time in a new process.

Imports take turns. Prints medians and the difference from `import numpy`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

PACKAGES = ("numpy", "acme", "acme_io", "acme_core", "acme_cluster")


def seconds_of(package: str) -> float:
    """Return the wall time of a process that imports `package` and exits, in seconds."""
    environ = os.environ | {"PYTHONDONTWRITEBYTECODE": ""}
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {package}"], check=True, env=environ)
    return time.perf_counter() - start


def main() -> None:
    """Measure all packages in turns and print the figures."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=15, help="imports of each package")
    chosen = options.parse_args()

    for package in PACKAGES:
        seconds_of(package)  # the first import compiles modules to bytecode
    runs: dict[str, list[float]] = {package: [] for package in PACKAGES}
    for _ in range(chosen.rounds):
        for package in PACKAGES:
            runs[package].append(seconds_of(package))
    numpy = statistics.median(runs["numpy"])
    for package, seconds in runs.items():
        median = statistics.median(seconds)
        print(f"import {package:<14} {1000 * median:6.0f} ms  ({1000 * (median - numpy):+.0f} ms)")


if __name__ == "__main__":
    main()
