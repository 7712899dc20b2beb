"""The client of a run: the one that is there, or one that is started for it."""

from __future__ import annotations

import importlib
import logging
import sys
from typing import TYPE_CHECKING, NamedTuple

from acme_cluster.backend import CLIENT_MODULES, looks_like_slurm, quick_imports
from acme_core.options import MapOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from distributed import Client

    from acme_core.estimate import Measurement

logger = logging.getLogger(__name__)

_NEEDED_BY_WORKERS = ("acme_core.on_workers",)
_NEEDED_HERE = (*CLIENT_MODULES, "acme_core.run")
_NEEDED_LATER = ("acme_core.dispatch",)


def warm_up() -> None:
    """Import what a run needs, here and for local workers at the same time.

    Nothing is started where there may be workers already, or where they may be jobs.
    """
    if "distributed" not in sys.modules and not _on_a_cluster():
        from acme_cluster import warm_up

        warm_up(_NEEDED_BY_WORKERS)
    _import(_NEEDED_HERE)


def _import(modules: Iterable[str]) -> None:
    with quick_imports():
        for module in modules:
            importlib.import_module(module)


def _on_a_cluster() -> bool:
    if not looks_like_slurm():
        return False
    from acme_cluster.backend import slurm_answers

    return slurm_answers()


def cool_down() -> None:
    """Undo `warm_up` if no workers have been started since."""
    from acme_cluster import cool_down

    cool_down()


class UsableClient(NamedTuple):
    """A client that can be used.

    Attributes
    ----------
    client : distributed.Client
    workers : dict of str to int
        Addresses of its workers, and their numbers of threads.
    started : bool
        Whether it was started for this run.
    """

    client: Client
    workers: dict[str, int]
    started: bool


def client_for(
    options: MapOptions,
    n_calls: int,
    measure: Callable[[], Sequence[Measurement]],
    meanwhile: Callable[[], object],
) -> UsableClient:
    """Pick up the client that is there, or start one that fits.

    Parameters
    ----------
    options : MapOptions
        Say what workers the user wants.
    n_calls : int
        Number of calls that wait for them.
    measure : callable
        Measures the memory of some calls, where a partition is to be chosen by it.
    meanwhile : callable
        Called while workers start, if any are started: what else there is to prepare.

    Returns
    -------
    UsableClient
    """
    from acme_cluster.backend import find_client, start_client

    found = find_client()
    if found is not None:
        client, workers = found
        logger.info(f"<ParallelMap> INFO: Attaching to global parallel computing client {client}")
        for name in ("n_workers", "partition", "mem_per_worker"):
            if getattr(options, name) != "auto":
                logger.warning(
                    f"<ParallelMap> WARNING: {name} has no effect, because the workers are "
                    "there already. To start others call cluster_cleanup() first."
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
    """Choose a partition by the memory that calls take, where there is a choice to be made."""
    if options.partition != "auto" or options.mem_per_worker != "auto":
        return str(options.partition)
    from acme_cluster import choose_partition, detect_site, format_memory
    from acme_cluster.backend import slurm_answers

    site = detect_site() if slurm_answers() else None
    if site is None or not site.auto_partitions:
        return "auto"
    logger.info(
        "<ParallelMap> INFO: Measuring here how much memory some randomly picked calls take, to "
        "choose a partition. partition or mem_per_worker spare that."
    )
    measured = measure()
    for one in measured:
        if one.error is not None:
            logger.warning(f"<ParallelMap> WARNING: call {one.call} failed here: {one.error}")
        elif not one.complete:
            logger.warning(
                f"<ParallelMap> WARNING: call {one.call} was not done in half a minute and may "
                f"need more memory than the {format_memory(one.peak)} that it had taken by then. "
                "If so, give mem_per_worker."
            )
    peaks = [one.peak for one in measured if one.error is None]
    if not peaks:
        logger.warning(
            "<ParallelMap> WARNING: no call could be measured; SLURM's default partition is used."
        )
        return "auto"
    partition = choose_partition(site, max(peaks))
    if partition is None:
        return "auto"
    logger.info(
        f"<ParallelMap> INFO: Choosing partition {partition}: of {len(peaks)} calls the largest "
        f"took {format_memory(max(peaks))}, and it is the smallest that holds this with a margin."
    )
    return partition
