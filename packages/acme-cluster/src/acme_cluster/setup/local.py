"""Workers on this machine.

`local_cluster_setup` checks its arguments, then returns the existing client or starts a cluster::

    fork server (other core: imports) ┐
    keys, scheduler (in this process) ┴► nannies ─► fork ─► workers connect
                                         client connects meanwhile
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import dask
from distributed import Client
from distributed.system import MEMORY_LIMIT

from acme_cluster.checks import check_bool, check_count, check_gpus, check_memory
from acme_cluster.console.messages import shown
from acme_cluster.console.prompts import can_ask, confirm
from acme_cluster.devices import Devices, counted, devices_here, shares
from acme_cluster.errors import ArgumentValueError, DeclinedError
from acme_cluster.internals.choice import new_local_workers
from acme_cluster.internals.live_clusters import devices_in_use, failure_explained
from acme_cluster.internals.preloading import import_registered
from acme_cluster.internals.tls import cluster_security
from acme_cluster.keys import make_keys
from acme_cluster.lifetime import clients
from acme_cluster.lifetime.dashboard import dashboard_link, how_to_reach
from acme_cluster.sizes import format_memory

if TYPE_CHECKING:
    from distributed.security import Security

__all__ = ["local_cluster_setup", "start_local", "usable_cores"]

logger = logging.getLogger(__name__)

_CALLER = "local_cluster_setup"


def usable_cores() -> int:
    """Return the number of cores that this process may use.

    Returns
    -------
    int
        At least 1; dask takes CPU affinity and control groups into account.
    """
    from dask.system import CPU_COUNT

    return int(CPU_COUNT)


def local_cluster_setup(
    n_workers: int | None = None,
    mem_per_worker: str | int | None = None,
    interactive: bool = True,
    *,
    gpus_per_worker: int | None = None,
) -> Client:
    """Start workers on this machine, or return the existing client.

    Parameters
    ----------
    n_workers : int, optional
        Number of worker processes, which run one call at a time. By default the number of usable
        cores, or with `gpus_per_worker` at most as many as there are GPUs for.
    mem_per_worker : str or int, optional
        Memory of each worker, such as "4GB"; a worker that exceeds it is killed and replaced. By
        default an equal share of the machine's memory.
    interactive : bool, default True
        Whether to ask at the terminal, if there is one, before starting workers whose memory
        limits together exceed that of the machine; otherwise there is only a warning.
    gpus_per_worker : int, optional
        GPUs that each worker has to itself: those in its `CUDA_VISIBLE_DEVICES`. They are taken
        from this program's own `CUDA_VISIBLE_DEVICES` if it is set, else from all GPUs of the
        machine. By default, and with 0, all workers see the same GPUs as this program.

    Returns
    -------
    distributed.Client
        Client of the new cluster; or the current client, if it has live workers.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid, or there are too few GPUs. Nothing was started.
    RuntimeError
        If the workers cannot start, or the user declines.

    Notes
    -----
    A script needs no `if __name__ == "__main__":`, because workers do not run it. Connections are
    encrypted and authenticated with keys that stay in memory; the dask configuration
    `acme.local.tls: false` turns this off.

    Examples
    --------
    >>> from acme_cluster import cluster_cleanup, local_cluster_setup
    >>> client = local_cluster_setup(n_workers=2)
    >>> client.submit(pow, 2, 10).result()
    1024
    >>> cluster_cleanup(client)
    """
    with shown():
        check_bool(interactive, "interactive", _CALLER)
        count, memory = _check_request(n_workers, mem_per_worker)
        gpus = check_gpus(gpus_per_worker, _CALLER)
        client = clients.current_client()
        if client is not None:
            clients.log_attaching(client, _CALLER, gpus)
            return client
        count, parts = _share_out(count, usable_cores(), gpus)
        return _start(count, memory, interactive, import_registered, parts)


def start_local(
    n_workers: int | None,
    n_calls: int | None,
    mem_per_worker: str | int | None,
    interactive: bool,
    meanwhile: Callable[[], object] | None = None,
    gpus_per_worker: int | None = None,
) -> Client:
    """Start local workers for a number of calls, whether or not there is a client.

    Parameters
    ----------
    n_workers : int or None
        Number of workers; by default one per core, at most one per call.
    n_calls : int or None
        Number of calls, if known.
    mem_per_worker : str or int or None
        As for :func:`local_cluster_setup`; "auto" is None.
    interactive : bool
        As for :func:`local_cluster_setup`.
    meanwhile : callable, optional
        Called while the workers start.
    gpus_per_worker : int or None
        As for :func:`local_cluster_setup`.

    Returns
    -------
    distributed.Client
        Client of the new cluster.
    """
    count, memory = _check_request(n_workers, mem_per_worker)
    gpus = check_gpus(gpus_per_worker, _CALLER)
    cores = usable_cores()
    count, parts = _share_out(count, min(cores, n_calls or cores), gpus)
    return _start(count, memory, interactive, meanwhile, parts)


def _check_request(n_workers: object, mem_per_worker: object) -> tuple[int | None, int | None]:
    count = None if n_workers is None else check_count(n_workers, "n_workers", _CALLER)
    return count, check_memory(mem_per_worker, "mem_per_worker", _CALLER)


def _share_out(wanted: int | None, default: int, gpus: int) -> tuple[int, tuple[str, ...]]:
    """Return the number of workers, and the GPUs of each.

    Parameters
    ----------
    wanted : int or None
        Workers that the user asked for.
    default : int
        Workers to start otherwise, if there are GPUs for them.
    gpus : int
        GPUs of each worker.
    """
    if not gpus:
        return wanted or default, ()
    known = devices_here()
    used = devices_in_use()
    free = [name for name in known.names if name not in used]
    parts = shares(free, gpus)
    if len(parts) < (wanted or 1):
        raise ArgumentValueError(_too_few(known, len(free), wanted or 1, gpus))
    count = wanted or min(default, len(parts))
    return count, parts[:count]


def _too_few(known: Devices, free: int, n_workers: int, gpus: int) -> str:
    if not known.names:
        return (
            f"<{_CALLER}> gpus_per_worker={gpus}, but this machine has no GPU that can be used "
            f"({known.source}). Start the workers on a machine with GPUs, or leave gpus_per_worker "
            "out."
        )
    asked = f"{n_workers} workers with {counted(gpus)} each" if n_workers > 1 else "A worker"
    used = len(known.names) - free
    rest = f", {used} of them in use by other workers of this program" if used else ""
    possible = free // gpus
    advice = "Close the workers that use them (cluster_cleanup)."
    if free:
        advice = f"n_workers={possible}" if possible else f"gpus_per_worker={free}"
        advice = f"Ask for at most {advice}."
    return (
        f"<{_CALLER}> {asked} would need {counted(n_workers * gpus)}, but this machine has "
        f"{len(known.names)}{rest} ({known.source}). {advice}"
    )


def _start(
    n_workers: int,
    memory: int | None,
    interactive: bool,
    meanwhile: Callable[[], object] | None,
    parts: tuple[str, ...],
) -> Client:
    cores = usable_cores()
    if n_workers > cores:
        logger.warning(
            "<%s> WARNING: %d workers share %d cores, so each of them runs slower",
            _CALLER,
            n_workers,
            cores,
        )
    _check_memory_fits(n_workers, memory, interactive)
    memory = memory or int(MEMORY_LIMIT) // max(n_workers, 1)
    with failure_explained(n_workers):
        cluster = new_local_workers(n_workers, memory, _security(), parts)
    try:
        client = cluster.connect(meanwhile)
    except BaseException:
        # What went wrong counts, not that workers do not end in time either.
        with contextlib.suppress(TimeoutError):
            cluster.close(timeout=5)
        raise
    _announce(cluster)
    return client


def _check_memory_fits(n_workers: int, memory: int | None, interactive: bool) -> None:
    if memory is None or n_workers * memory <= MEMORY_LIMIT:
        return
    what = (
        f"{n_workers} workers may take {format_memory(n_workers * memory)} together, "
        f"this machine has {format_memory(int(MEMORY_LIMIT))}"
    )
    if not (interactive and can_ask()):
        logger.warning("<%s> WARNING: %s", _CALLER, what)
    elif not confirm(f"<{_CALLER}> {what}. Start them anyway?"):
        raise DeclinedError(f"<{_CALLER}> No workers were started: declined at the prompt.")


def _security() -> Security | None:
    if not dask.config.get("acme.local.tls", True):
        return None
    return cluster_security(make_keys())


def _announce(cluster: Any) -> None:
    link = dashboard_link(cluster.scheduler)
    if link is None:
        return
    logger.info("<local_cluster_setup> Cluster dashboard accessible at %s", link)
    hint = how_to_reach(link, _CALLER)
    if hint is not None:
        logger.info("%s", hint)
