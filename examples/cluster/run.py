"""Use acme_cluster with plain dask: estimate pi by Monte Carlo, on a cluster or on this machine.

    python examples/cluster/run.py [--partition NAME] [--workers N]

Needs no other ACME package. The setup functions return an ordinary `distributed.Client`: submit,
map, gather, dask arrays and delayed all work with it.
"""

from __future__ import annotations

import argparse
import random

from acme_cluster import cluster_cleanup, local_cluster_setup, slurm_cluster_setup


def count_hits(seed: int, n_points: int = 200_000) -> int:
    """Count the random points in the unit square that lie inside the quarter circle."""
    draw = random.Random(seed)
    return sum(draw.random() ** 2 + draw.random() ** 2 <= 1 for _ in range(n_points))


def main() -> None:
    """Estimate pi with the requested workers."""
    parser = argparse.ArgumentParser(description="Estimate pi on many workers.")
    parser.add_argument("--partition", help="SLURM partition; default: local workers")
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
