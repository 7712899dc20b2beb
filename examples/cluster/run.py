"""acme_cluster with plain dask: Monte Carlo estimates of pi, on a cluster or on this machine.

    python examples/cluster/run.py [--partition NAME] [--workers N]

Nothing of ACME is needed but `acme_cluster`. What the setup functions return is a
`distributed.Client` like any other: submit, map, gather, dask arrays and delayed work with it.
"""

from __future__ import annotations

import argparse
import random

from acme_cluster import cluster_cleanup, local_cluster_setup, slurm_cluster_setup


def count_hits(seed: int, n_points: int = 200_000) -> int:
    """Count random points of the unit square that lie in the quarter circle."""
    draw = random.Random(seed)
    return sum(draw.random() ** 2 + draw.random() ** 2 <= 1 for _ in range(n_points))


def main() -> None:
    """Estimate pi with the workers that the command line asks for."""
    parser = argparse.ArgumentParser(description="Estimate pi on many workers.")
    parser.add_argument("--partition", help="of a SLURM cluster; without it the workers start here")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    if options.partition:
        client = slurm_cluster_setup(
            options.partition, n_workers=options.workers, mem_per_worker="1GB"
        )
    else:
        client = local_cluster_setup(options.workers)
    try:
        hits = client.gather(client.map(count_hits, range(20)))
        print(f"pi is about {4 * sum(hits) / (20 * 200_000):.3f}")
    finally:
        cluster_cleanup(client)


if __name__ == "__main__":
    main()
