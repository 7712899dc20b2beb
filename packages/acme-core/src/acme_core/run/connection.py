"""The client of a run: an existing one, or one started for this run."""

from __future__ import annotations

import importlib
import logging
import sys
from typing import TYPE_CHECKING, NamedTuple

from acme_cluster.backend import CLIENT_MODULES, looks_like_slurm, quick_imports
from acme_core.run_options import MapOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from distributed import Client

    from acme_core.run.trials.memory_estimate import Measurement

logger = logging.getLogger(__name__)

# Imported by the fork server, for all local workers.
_NEEDED_BY_WORKERS = ("acme_core.worker.preload",)
# Imported by the client before workers are requested, and while they start. Both happen at the same
# time as the workers' imports on another core, which saves most of a second before the first call.
_NEEDED_HERE = (*CLIENT_MODULES, "acme_core.run.run")
_NEEDED_LATER = ("acme_core.run.dispatch",)


def warm_up() -> None:
    """Import the modules of a run here and in the fork server of the workers, at the same time.

    No process is started if workers may exist already, or may be batch jobs.
    """
    # Without distributed there is no client, so workers must be started.
    if "distributed" not in sys.modules and not _on_a_cluster():
        from acme_cluster import warm_up

        warm_up(_NEEDED_BY_WORKERS)
    _import(_NEEDED_HERE)


def _import(modules: Iterable[str]) -> None:
    with quick_imports():
        for module in modules:
            importlib.import_module(module)


def _on_a_cluster() -> bool:
    # Files tell whether SLURM is configured. Only then is its controller asked, which takes
    # milliseconds, and longer if it is on another machine and down.
    if not looks_like_slurm():
        return False
    from acme_cluster.backend import slurm_answers

    return slurm_answers()


def cool_down() -> None:
    """End the processes of `warm_up` if no workers have started since."""
    from acme_cluster import cool_down

    cool_down()


class UsableClient(NamedTuple):
    """A client with workers.

    Attributes
    ----------
    client : distributed.Client
    workers : dict of str to int
        Number of threads of each worker, by address.
    started : bool
        Whether this run started it.
    """

    client: Client
    workers: dict[str, int]
    started: bool


def find_or_start_client(
    options: MapOptions,
    n_calls: int,
    measure: Callable[[], Sequence[Measurement]],
    meanwhile: Callable[[], object],
) -> UsableClient:
    """Return the existing client, or start one.

    Parameters
    ----------
    options : MapOptions
        Number, partition and memory of workers to start.
    n_calls : int
        Number of calls.
    measure : callable
        Measures the memory of some calls; called only if the partition depends on it.
    meanwhile : callable
        Prepares the run; called while workers start, if any are started.
    """
    from acme_cluster.backend import find_client, start_client

    found = find_client()
    if found is not None:
        client, workers = found
        logger.info(f"<ParallelMap> INFO: Attaching to global parallel computing client {client}")
        for name in ("n_workers", "partition", "mem_per_worker"):
            if getattr(options, name) != "auto":
                logger.warning(
                    f"<ParallelMap> WARNING: {name} has no effect, because the existing workers "
                    "are used. To start others, call cluster_cleanup() first."
                )
        return UsableClient(client, workers, started=False)
    warm_up()

    def prepare() -> None:
        _import(_NEEDED_LATER)
        meanwhile()

    client = start_client(
        None if options.n_workers == "auto" else int(options.n_workers),
        n_calls=n_calls,
        partition=_partition(options, measure),
        mem_per_worker=options.mem_per_worker,
        timeout=options.setup_timeout,
        interactive=options.setup_interactive,
        meanwhile=prepare,
        caller="ParallelMap",
    )
    return UsableClient(client, dict(client.nthreads()), started=True)


def _partition(options: MapOptions, measure: Callable[[], Sequence[Measurement]]) -> str:
    """Return the partition to use, chosen by measured memory if the site lists its partitions."""
    if options.partition != "auto" or options.mem_per_worker != "auto":
        return str(options.partition)
    from acme_cluster import choose_partition, detect_site, format_memory
    from acme_cluster.backend import slurm_answers

    site = detect_site() if slurm_answers() else None
    if site is None or not site.auto_partitions:
        return "auto"
    logger.info(
        "<ParallelMap> INFO: Measuring the memory of some randomly picked calls on this machine to "
        "choose a partition. Set partition or mem_per_worker to skip this."
    )
    measured = measure()
    for one in measured:
        if one.error is not None:
            logger.warning(
                f"<ParallelMap> WARNING: call {one.call} failed when it was measured: {one.error}"
            )
        elif not one.complete:
            logger.warning(
                f"<ParallelMap> WARNING: call {one.call} did not end within half a minute and may "
                f"need more memory than the {format_memory(one.peak)} that it had taken by then. "
                "If so, set mem_per_worker."
            )
    peaks = [one.peak for one in measured if one.error is None]
    if not peaks:
        logger.warning(
            "<ParallelMap> WARNING: no call could be measured; using SLURM's default partition."
        )
        return "auto"
    partition = choose_partition(site, max(peaks))
    if partition is None:
        return "auto"
    logger.info(
        f"<ParallelMap> INFO: Choosing partition {partition}, the smallest with enough memory: the "
        f"largest of {len(peaks)} calls took {format_memory(max(peaks))}."
    )
    return partition
