"""Starting jobs and waiting for their workers; whatever goes wrong on the way, no job is left."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

from acme_cluster.batch_system.cluster import start_cluster
from acme_cluster.batch_system.jobs import Plan
from acme_cluster.batch_system.plans import Request, make_plan
from acme_cluster.checks import check_bool
from acme_cluster.internals import prompt_client
from acme_cluster.internals.preloading import import_registered
from acme_cluster.lifetime import clients
from acme_cluster.lifetime.clients import close_client
from acme_cluster.lifetime.dashboard import dashboard_link, how_to_reach
from acme_cluster.setup.waiting import Patience, wait_for_workers
from acme_cluster.sites.catalog import Site, detect_site, generic_site

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed import Client

__all__ = ["set_up", "start_for_calls", "start_plan"]

logger = logging.getLogger(__name__)


def set_up(request: Request, site: Site, patience: Patience, want_client: bool) -> Any:
    """Check a request, and start what it asks for unless there is a client with workers.

    Parameters
    ----------
    request : Request
        What was asked for.
    site : Site
        Where.
    patience : Patience
        How long to wait for how many workers.
    want_client : bool
        Return a client; otherwise the cluster.

    Returns
    -------
    distributed.Client or cluster
        A new one, or the current one.
    """
    patience.check(request.caller)
    check_bool(want_client, "start_client", request.caller)
    plan = make_plan(request, site)
    current = clients.current_client()
    if current is not None:
        logger.info(
            "<%s> INFO: Attaching to global parallel computing client %s", request.caller, current
        )
        return current if want_client else current.cluster
    return start_plan(plan, patience, want_client=want_client, meanwhile=import_registered)


def start_plan(
    plan: Plan,
    patience: Patience,
    *,
    want_client: bool = True,
    meanwhile: Callable[[], object] | None = None,
) -> Any:
    """Submit the jobs of a plan and wait for the first workers.

    Parameters
    ----------
    plan : Plan
        The jobs.
    patience : Patience
        How long to wait for how many workers.
    want_client : bool, default True
        Return a client; otherwise the cluster.
    meanwhile : callable, optional
        Called when the jobs are submitted, before they are waited for.

    Returns
    -------
    distributed.Client or cluster
        Whatever goes wrong on the way, no job is left behind.
    """
    patience.check(plan.caller)
    cluster = start_cluster(plan)
    client = None
    try:
        if meanwhile is not None:
            meanwhile()
        wait_for_workers(cluster, plan.caller, plan.n_workers * plan.processes, patience)
        _announce(plan.caller, cluster)
        if not want_client:
            return cluster
        client = prompt_client.connect(cluster)
    except BaseException:
        if client is not None:
            close_client(client)
        # What went wrong is what counts, not what goes wrong because of it.
        with contextlib.suppress(OSError, TimeoutError, RuntimeError):
            cluster.close(timeout=10)
        raise
    return client


def _announce(caller: str, cluster: Any) -> None:
    link = dashboard_link(cluster.scheduler)
    if link is None:
        return
    logger.info("<%s> Cluster dashboard accessible at %s", caller, link)
    hint = how_to_reach(link, caller)
    if hint is not None:
        logger.info("%s", hint)


def start_for_calls(
    n_workers: int | None,
    n_calls: int | None,
    partition: str,
    mem_per_worker: str | int | None,
    timeout: float,
    interactive: bool,
    meanwhile: Callable[[], object] | None = None,
) -> Client:
    """Start workers for a known number of calls; a current client is not looked for.

    Parameters
    ----------
    n_workers : int or None
        Number of jobs; None for one per call, up to the site's limit.
    n_calls : int or None
        Number of calls, if known.
    partition, mem_per_worker, timeout, interactive
        As for :func:`slurm_cluster_setup`.
    meanwhile : callable, optional
        As for :func:`start_plan`.

    Returns
    -------
    distributed.Client
        Client of the new cluster.

    Raises
    ------
    TypeError, ValueError, TimeoutError, RuntimeError, OSError
        As for :func:`slurm_cluster_setup`.
    """
    caller = "slurm_cluster_setup"
    site = detect_site() or generic_site()
    if n_workers is None:
        n_workers = min(n_calls or site.max_workers, site.max_workers)
        if n_calls is not None and n_calls > n_workers:
            logger.info(
                "<%s> INFO: Starting %d workers for %d calls, the most that %s allows unless "
                "n_workers says otherwise",
                caller, n_workers, n_calls, site.description or site.name,
            )  # fmt: skip
    # A site that knows its partitions knows how many cores belong to their memory; elsewhere one.
    cores = None if site.rule(partition).memory else 1
    request = Request(caller, partition, cores, n_workers, memory=mem_per_worker)
    plan = make_plan(request, site)
    patience = Patience(timeout=timeout, interactive=interactive)
    client: Client = start_plan(plan, patience, meanwhile=meanwhile)
    return client
