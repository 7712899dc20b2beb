"""From a request to a client: plan, submit, wait. A start that fails leaves no job behind."""

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
from acme_cluster.setup.waiting import WaitOptions, wait_for_workers
from acme_cluster.sites.catalog import Site, detect_site, generic_site

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed import Client

__all__ = ["set_up", "start_for_calls", "start_plan"]

logger = logging.getLogger(__name__)


def set_up(request: Request, site: Site, wait: WaitOptions, want_client: bool) -> Any:
    """Check a request, then attach to the current client or start a cluster.

    Parameters
    ----------
    request : Request
        The user's arguments about jobs.
    site : Site
        The cluster to start them on.
    wait : WaitOptions
        The user's arguments about waiting.
    want_client : bool
        Return a client; otherwise the cluster.

    Returns
    -------
    distributed.Client or cluster
        New, or that of dask's current client.
    """
    # Checks come first even if the current client is used: a wrong argument must not pass only
    # because a client happens to exist.
    wait.check(request.caller)
    check_bool(want_client, "start_client", request.caller)
    plan = make_plan(request, site)
    current = clients.current_client()
    if current is not None:
        clients.log_attaching(current, request.caller, plan.gpus)
        return current if want_client else current.cluster
    return start_plan(plan, wait, want_client=want_client, meanwhile=import_registered)


def start_plan(
    plan: Plan,
    wait: WaitOptions,
    *,
    want_client: bool = True,
    meanwhile: Callable[[], object] | None = None,
) -> Any:
    """Submit the jobs of a plan and wait for the first workers.

    If a step fails, the cluster is closed and its jobs are cancelled.

    Parameters
    ----------
    plan : Plan
        The jobs.
    wait : WaitOptions
        How long to wait, and for how many workers.
    want_client : bool, default True
        Return a client; otherwise the cluster.
    meanwhile : callable, optional
        Called once the jobs are requested, before the wait for their workers.

    Returns
    -------
    distributed.Client or cluster
        The new client or cluster.
    """
    wait.check(plan.caller)
    cluster = start_cluster(plan)
    client = None
    try:
        if meanwhile is not None:
            meanwhile()
        wait_for_workers(cluster, plan.caller, plan.n_workers * plan.processes, wait)
        _announce(plan.caller, cluster)
        if not want_client:
            return cluster
        client = prompt_client.connect(cluster)
    except BaseException:
        # Ctrl-C included: a user who stops waiting does not want the jobs.
        if client is not None:
            close_client(client)
        # The original error is raised, not one that follows from it.
        with contextlib.suppress(OSError, TimeoutError, RuntimeError):
            cluster.close(timeout=10)
        raise
    return client


def _announce(caller: str, cluster: Any) -> None:
    """Log the dashboard's address in the words of the user guide, and how to reach it from afar."""
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
    gpus_per_worker: int | None = None,
) -> Client:
    """Start workers for a number of calls, without looking for a current client.

    Parameters
    ----------
    n_workers : int or None
        Number of jobs; None for one per call, up to the site's limit and the number of GPUs.
    n_calls : int or None
        Number of calls, if known; only the default of `n_workers` depends on it.
    partition, mem_per_worker, timeout, interactive
        As for :func:`slurm_cluster_setup`.
    meanwhile : callable, optional
        As for :func:`start_plan`.
    gpus_per_worker : int or None
        As for :func:`slurm_cluster_setup`.

    Returns
    -------
    distributed.Client
        A client of the new cluster.

    Raises
    ------
    TypeError, ValueError, TimeoutError, RuntimeError, OSError
        As for :func:`slurm_cluster_setup`.
    """
    caller = "slurm_cluster_setup"
    site = detect_site() or generic_site()
    fewer = n_workers is None
    if n_workers is None:
        n_workers = min(n_calls or site.max_workers, site.max_workers)
        if n_calls is not None and n_calls > n_workers:
            logger.info(
                "<%s> INFO: Starting %d workers for %d calls, the most that %s allows by default; "
                "n_workers can ask for more",
                caller, n_workers, n_calls, site.description or site.name,
            )  # fmt: skip
    # None takes as many cores as belong to the memory of the partition. For a site without rules
    # that could be a whole node, of which a call would use one core.
    cores = None if site.rule(partition).memory else 1
    request = Request(
        caller, partition, cores, n_workers, memory=mem_per_worker, gpus=gpus_per_worker,
        fewer=fewer,
    )  # fmt: skip
    plan = make_plan(request, site)
    wait = WaitOptions(timeout=timeout, interactive=interactive)
    client: Client = start_plan(plan, wait, meanwhile=meanwhile)
    return client
