"""Workers as jobs: on any SLURM cluster, on the ESI cluster, or at a described site.

    arguments ─┬► Request      what the jobs should be ─────┐
               ├► Site         named or detected, with the ─┼─► batch.set_up ─► plan, submit, wait
               │               options of this call         │                        │
               └► WaitOptions  how long for how many ───────┘                     Client

The functions differ in their defaults, in how they find the site, and in what they do where there
is no SLURM. `slurm_cluster_setup` documents the arguments that they share.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from acme_cluster.batch_system.jobs import job_script
from acme_cluster.batch_system.plans import Request, make_plan
from acme_cluster.checks import check_bool, check_gpus
from acme_cluster.console.messages import shown
from acme_cluster.console.prompts import can_ask, confirm
from acme_cluster.errors import (
    ArgumentTypeError,
    ArgumentValueError,
    DeclinedError,
    SlurmUnavailableError,
)
from acme_cluster.setup.batch import set_up
from acme_cluster.setup.local import local_cluster_setup
from acme_cluster.setup.waiting import WaitOptions
from acme_cluster.sites.catalog import Site, changed, detect_site, generic_site, site_named
from acme_cluster.slurm import query

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["cluster_setup", "esi_cluster_setup", "slurm_cluster_setup", "slurm_job_script"]

logger = logging.getLogger(__name__)


def slurm_cluster_setup(
    partition: str = "auto",
    cores_per_worker: int | None = 1,
    n_workers: int = 1,
    processes_per_worker: int = 1,
    mem_per_worker: str | int | None = "auto",
    n_workers_startup: int = 1,
    timeout: float = 60,
    interactive: bool = True,
    interactive_wait: float = 10,
    start_client: bool = True,
    job_extra: Sequence[str] = (),
    *,
    gpus_per_worker: int | None = None,
    account: str | None = None,
    walltime: str | None = None,
    qos: str | None = None,
    gres: str | None = None,
    log_directory: str | None = None,
    interface: str | None = None,
    site: str | None = None,
) -> Client | Any:
    """Start workers as jobs of a SLURM cluster.

    Parameters
    ----------
    partition : str, default "auto"
        SLURM partition; "auto" is the default of the site or of SLURM, which is then logged.
    cores_per_worker : int, default 1
        Cores of one job, for the numerical libraries in the one call that runs at a time. None
        takes as many as belong to the memory.
    n_workers : int, default 1
        Number of jobs.
    processes_per_worker : int, default 1
        Worker processes per job. They share its cores and memory; each runs one call at a time.
    mem_per_worker : str or int, default "auto"
        Memory of one job, such as "8GB". "auto" takes the default of the partition. More than the
        partition allows is cut to its limit, with a warning.
    n_workers_startup : int, default 1
        Worker processes to wait for; the others join later.
    timeout : float, default 60
        Seconds to wait for them.
    interactive : bool, default True
        When the timeout is over, ask at the terminal, if there is one, whether to wait longer.
    interactive_wait : float, default 10
        Seconds to wait for the answer.
    start_client : bool, default True
        Return a client; otherwise the cluster.
    job_extra : sequence of str, optional
        Further options of `sbatch`, such as "--constraint=fast".
    gpus_per_worker : int, optional
        GPUs that each worker process has to itself. SLURM is asked for the GPUs of all processes
        of a job; the processes find theirs in `CUDA_VISIBLE_DEVICES`.
    account, walltime, qos, gres : str, optional
        As for `sbatch`.
    log_directory : str, optional
        Folder for the output of the jobs. By default it is removed at the end, unless a worker was
        lost.
    interface : str, optional
        Network interface between this machine and the nodes, such as "ib0".
    site : str, optional
        Name of a site; by default the one that this machine belongs to, if any.

    Returns
    -------
    distributed.Client or dask_jobqueue.SLURMCluster
        New, or dask's current client (or its cluster) if that has live workers.

    Raises
    ------
    TypeError, ValueError
        An argument is wrong, or the partition has too few GPUs. Nothing was submitted.
    TimeoutError
        No worker was online in time. The jobs were cancelled.
    RuntimeError
        There is no SLURM here, SLURM refused the jobs, or the user chose to stop.
    OSError
        A SLURM command failed; the message has the command, its exit code and its output.

    See Also
    --------
    slurm_job_script : return the job script without submitting anything
    cluster_setup : the same for any site and batch system

    Notes
    -----
    Connections are encrypted and authenticated with keys made for this cluster, in a folder below
    `~/.acme` that only this user can read. Lost workers are replaced while work waits, a limited
    number of times.
    """
    caller = "slurm_cluster_setup"
    with shown():
        _need_slurm(caller)
        where = changed(
            _site_or_generic(site), account=account, walltime=walltime, qos=qos, gres=gres,
            log_directory=log_directory, interface=interface,
        )  # fmt: skip
        request = Request(
            caller, partition, cores_per_worker, n_workers, processes_per_worker, mem_per_worker,
            job_extra, gpus_per_worker,
        )  # fmt: skip
        wait = WaitOptions(n_workers_startup, timeout, interactive, interactive_wait)
        return set_up(request, where, wait, start_client)


def esi_cluster_setup(
    partition: str = "auto",
    n_workers: int = 2,
    mem_per_worker: str | int | None = "auto",
    cores_per_worker: int | None = None,
    n_workers_startup: int = 1,
    timeout: float = 60,
    interactive: bool = True,
    interactive_wait: float = 120,
    start_client: bool = True,
    job_extra: Sequence[str] = (),
    *,
    gpus_per_worker: int | None = None,
    **options: Any,
) -> Client | Any:
    """Start workers on the cluster of the Ernst Strüngmann Institute.

    Parameters
    ----------
    partition : str, default "auto"
        Such as "8GBXS" or, from a POWER machine, "E880".
    n_workers, mem_per_worker, cores_per_worker, n_workers_startup, timeout, interactive
        As for :func:`slurm_cluster_setup`, with two jobs by default, and by default as many cores
        as belong to the memory.
    interactive_wait, start_client, job_extra, gpus_per_worker
        As for :func:`slurm_cluster_setup`, with two minutes to answer by default.
    **options
        `processes_per_worker`, and the options of :func:`cluster_setup`.

    Returns
    -------
    distributed.Client or dask_jobqueue.SLURMCluster
        As for :func:`slurm_cluster_setup`. If there is no SLURM, or its controller does not answer,
        a client of local workers; at a terminal the user is asked first.

    Raises
    ------
    TypeError, ValueError, TimeoutError, RuntimeError, OSError
        As for :func:`slurm_cluster_setup`.
    """
    caller = "esi_cluster_setup"
    with shown():
        # At ESI this function also runs on workstations, which have the commands of SLURM and no
        # controller that answers.
        if not query.answering():
            return _local_instead(caller, n_workers, interactive, gpus_per_worker)
        processes = options.pop("processes_per_worker", 1)
        request = Request(
            caller, partition, cores_per_worker, n_workers, processes, mem_per_worker, job_extra,
            gpus_per_worker,
        )  # fmt: skip
        where = changed(site_named("esi"), **_site_options(options, caller))
        wait = WaitOptions(n_workers_startup, timeout, interactive, interactive_wait)
        return set_up(request, where, wait, start_client)


def cluster_setup(
    site: str | None = None,
    *,
    partition: str = "auto",
    n_workers: int = 1,
    mem_per_worker: str | int | None = "auto",
    cores_per_worker: int | None = None,
    processes_per_worker: int = 1,
    n_workers_startup: int = 1,
    timeout: float = 60,
    interactive: bool = True,
    interactive_wait: float = 10,
    start_client: bool = True,
    job_extra: Sequence[str] = (),
    gpus_per_worker: int | None = None,
    **options: Any,
) -> Client | Any:
    """Start workers at a site with any batch system.

    Parameters
    ----------
    site : str, optional
        Name of a site, shipped or from dask's configuration; by default the one that this machine
        belongs to.
    partition, n_workers, mem_per_worker, cores_per_worker, processes_per_worker
        As for :func:`slurm_cluster_setup`, with the defaults of the site.
    n_workers_startup, timeout, interactive, interactive_wait, start_client, job_extra
        As for :func:`slurm_cluster_setup`.
    gpus_per_worker
        As for :func:`slurm_cluster_setup`; on SLURM only.
    **options
        `account`, `walltime`, `qos`, `gres`, `log_directory` or `interface`, to override the
        site's.

    Returns
    -------
    distributed.Client or dask_jobqueue cluster
        As for :func:`slurm_cluster_setup`.

    Raises
    ------
    TypeError, ValueError, TimeoutError, RuntimeError, OSError
        As for :func:`slurm_cluster_setup`.
    """
    caller = "cluster_setup"
    with shown():
        where = site_named(site) if site is not None else detect_site()
        if where is None:
            raise ArgumentValueError(
                f"<{caller}> This machine ({socket.gethostname()}) belongs to no known "
                "site. Name one (site=...), or use slurm_cluster_setup() or local_cluster_setup()."
            )
        if where.system == "slurm":
            _need_slurm(caller)
        request = Request(
            caller, partition, cores_per_worker, n_workers, processes_per_worker, mem_per_worker,
            job_extra, gpus_per_worker,
        )  # fmt: skip
        where = changed(where, **_site_options(options, caller))
        wait = WaitOptions(n_workers_startup, timeout, interactive, interactive_wait)
        return set_up(request, where, wait, start_client)


def slurm_job_script(
    partition: str = "auto",
    cores_per_worker: int | None = 1,
    *,
    processes_per_worker: int = 1,
    mem_per_worker: str | int | None = "auto",
    job_extra: Sequence[str] = (),
    gpus_per_worker: int | None = None,
    site: str | None = None,
    **options: Any,
) -> str:
    """Return the job script for these arguments. Nothing is submitted or started.

    Parameters
    ----------
    partition, cores_per_worker, processes_per_worker, mem_per_worker, job_extra, gpus_per_worker
        As for :func:`slurm_cluster_setup`.
    site : str, optional
        Name of a site with any batch system.
    **options
        As for :func:`cluster_setup`.

    Returns
    -------
    str
        The script, with placeholders for the scheduler's address, the worker's name and the folder
        of the cluster.

    Raises
    ------
    TypeError, ValueError, OSError
        As for :func:`slurm_cluster_setup`.
    """
    caller = "slurm_job_script"
    where = changed(_site_or_generic(site), **_site_options(options, caller))
    request = Request(
        caller, partition, cores_per_worker, 1, processes_per_worker, mem_per_worker, job_extra,
        gpus_per_worker,
    )  # fmt: skip
    return job_script(make_plan(request, where))


# ---------------------------------------------------------------------- shared by all of them


def _site_or_generic(name: str | None) -> Site:
    """Return the named site, else that of this machine, else a SLURM cluster without settings."""
    return site_named(name) if name is not None else detect_site() or generic_site()


def _need_slurm(caller: str) -> None:
    # `available` and not `usable`: with a controller that is down, the first command says so
    # itself.
    if not query.available():
        raise SlurmUnavailableError(
            f"<{caller}> This machine ({socket.gethostname()}) has no SLURM: `sbatch` was not "
            "found. Run this on a login node of the cluster, or use local_cluster_setup()."
        )


def _local_instead(
    caller: str, n_workers: int, interactive: bool, gpus_per_worker: int | None
) -> Client:
    """Start local workers; ask first at a terminal, else log a warning."""
    check_bool(interactive, "interactive", caller)
    check_gpus(gpus_per_worker, caller)
    host = socket.gethostname()
    lacks = f"{host} has no SLURM"
    if query.available():
        lacks = f"SLURM's commands on {host} get no answer from a controller (`scontrol ping`)"
    if interactive and can_ask():
        if not confirm(f"<{caller}> {lacks}. Start local workers instead?"):
            raise DeclinedError(f"<{caller}> No workers were started: declined at the prompt.")
    else:
        logger.warning("<%s> WARNING: %s, starting local workers", caller, lacks)
    return local_cluster_setup(
        n_workers=n_workers, interactive=interactive, gpus_per_worker=gpus_per_worker
    )


# Attributes of a site that one call may override. The others describe the site itself (ports,
# partitions, host names), and stand in its description.
_OPTIONS = ("account", "walltime", "qos", "gres", "log_directory", "interface")


def _site_options(options: dict[str, Any], caller: str) -> dict[str, str]:
    for name, value in options.items():
        if name not in _OPTIONS:
            raise ArgumentTypeError(
                f"<{caller}> Unknown option `{name}`. Known options: {', '.join(_OPTIONS)}."
            )
        if value is not None and not isinstance(value, str):
            raise ArgumentTypeError(f"<{caller}> `{name}` must be a string, not {value!r}.")
    return options
