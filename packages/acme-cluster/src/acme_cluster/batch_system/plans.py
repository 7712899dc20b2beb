"""From a request to a plan: values are checked, filled in, and cut to what the partition allows.

    Request (as given) ─► checks ─► partition ─► cores and memory ─► Plan
                                        ▲            ▲
                          scontrol, sacctmgr       site: defaults per partition

GPUs (`gpu_requests`) take one more command and are never cut: too many are an error.
What the user gives comes first, then the site, then SLURM. SLURM's limits hold for all three.
"""

from __future__ import annotations

import logging
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from acme_cluster.batch_system import gpu_requests
from acme_cluster.batch_system.jobs import Plan
from acme_cluster.checks import check_count, check_gpus, check_memory
from acme_cluster.errors import ArgumentTypeError, ArgumentValueError
from acme_cluster.sites.catalog import Site
from acme_cluster.sizes import format_memory
from acme_cluster.slurm import parse, query

__all__ = ["Request", "make_plan"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """The arguments of a setup function that describe jobs, as given and not checked.

    Attributes
    ----------
    caller : str
        Name of that function, for messages.
    partition, cores, n_workers, processes, memory, job_extra, gpus
        As for :func:`slurm_cluster_setup`.
    fewer : bool
        Whether `n_workers` is only a default: fewer are started if there are fewer GPUs.
    """

    caller: str
    partition: str = "auto"
    cores: int | None = None
    n_workers: int = 1
    processes: int = 1
    memory: str | int | None = "auto"
    job_extra: Sequence[str] = ()
    gpus: int | None = None
    fewer: bool = False


def make_plan(request: Request, site: Site) -> Plan:
    """Check a request, fill in what it leaves open, and cut it to the limits of the partition.

    Parameters
    ----------
    request : Request
        The user's arguments.
    site : Site
        The cluster.

    Returns
    -------
    Plan
        Jobs ready to be submitted.

    Raises
    ------
    TypeError, ValueError, OSError
        As for :func:`slurm_cluster_setup`.
    """
    caller, partition, cores = request.caller, request.partition, request.cores
    # All checks that need no command of the batch system come before the first one that does.
    n_workers = check_count(request.n_workers, "n_workers", caller)
    processes = check_count(request.processes, "processes_per_worker", caller)
    wanted_memory = check_memory(request.memory, "mem_per_worker", caller)
    if cores is not None:
        cores = check_count(cores, "cores_per_worker", caller)
    gpus = check_gpus(request.gpus, caller)
    extra = _job_options(request.job_extra, caller)
    if gpus:
        site = gpu_requests.requesting(caller, site, extra, gpus * processes)
    directives = _directives(site, extra)
    if not _is_name(partition):
        raise ArgumentTypeError(
            f"<{caller}> `partition` must be the name of a partition, not {partition!r}."
        )
    if site.system == "slurm":
        known, limits = _slurm_partition(caller, site, partition)
        name: str | None = known.name
        cores, memory = _fit(caller, site, known, limits, cores, wanted_memory, processes)
        if gpus:
            found = gpu_requests.Found(query.node_groups(), site.gpu_gres, limits.gpus)
            least = 1 if request.fewer else n_workers
            possible = found.jobs(caller, known.name, gpus, processes, least)
            n_workers = min(n_workers, possible)
    else:
        # Other systems have no command that tells the limits of a queue in one form.
        limits = parse.Limits()
        name = site.default_partition if partition == "auto" else partition
        cores, memory = _without_slurm(caller, site, name, cores, wanted_memory, processes)
    _check_architecture(caller, site, name)
    return Plan(caller, site, n_workers, name, cores, processes, memory, directives, limits, gpus)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _job_options(job_extra: object, caller: str) -> tuple[str, ...]:
    if isinstance(job_extra, str) or not isinstance(job_extra, Iterable):
        raise ArgumentTypeError(
            f"<{caller}> `job_extra` must be a list of options, not {job_extra!r}. "
            "For example: job_extra=['--constraint=fast']"
        )
    extra = list(job_extra)
    for option in extra:
        if not isinstance(option, str):
            raise ArgumentTypeError(
                f"<{caller}> `job_extra` must be a list of strings, but contains {option!r}."
            )
        # A line break would end the directive: the rest would be a command of the job script.
        if not option.startswith("-") or "\n" in option:
            raise ArgumentValueError(
                f"<{caller}> Each option in `job_extra` must begin with '-', not {option!r}."
            )
    return tuple(extra)


def _directives(site: Site, extra: Sequence[str]) -> tuple[str, ...]:
    # dask-jobqueue has no keywords for these two. The user's options come last: sbatch takes the
    # last of two that contradict each other.
    own = [f"--qos={site.qos}"] if site.qos and site.system == "slurm" else []
    own += [f"--gres={site.gres}"] if site.gres and site.system == "slurm" else []
    return (*own, *site.job_extra, *extra)


def _slurm_partition(caller: str, site: Site, wanted: str) -> tuple[parse.Partition, parse.Limits]:
    """Return the partition to use, checked, and the limits of a job in it."""
    known = query.partitions()
    # With a given account only its access counts, even if the user has others.
    accounts = frozenset({site.account.lower()}) if site.account else query.my_accounts()
    usable = [p.name for p in known.values() if p.up and not p.hidden and p.open_to(accounts)]
    if wanted == "auto":
        wanted = _default_partition(caller, site, known, usable)
    partition = known.get(wanted)
    listed = f"Partitions that you can use: {', '.join(usable) or 'none'}."
    if partition is None:
        raise ArgumentValueError(f"<{caller}> SLURM has no partition {wanted!r}. {listed}")
    if not partition.up:
        raise ArgumentValueError(f"<{caller}> The partition {wanted!r} is down. {listed}")
    if not partition.open_to(accounts):
        raise ArgumentValueError(
            f"<{caller}> The partition {wanted!r} is not open to your accounts "
            f"({', '.join(sorted(accounts))}). {listed}"
        )
    # Both the partition's QoS and that of the job limit it. SLURM compares their names without
    # case.
    qos = query.qos_limits()
    names = [name.lower() for name in (partition.qos, site.qos) if name]
    return partition, _tightest([qos[name] for name in names if name in qos])


def _default_partition(
    caller: str, site: Site, known: dict[str, parse.Partition], usable: list[str]
) -> str:
    if site.default_partition is not None:
        chosen, whose = site.default_partition, f"the default of {site.name}"
    else:
        defaults = [partition.name for partition in known.values() if partition.default]
        # A cluster need not have a default partition; sbatch would refuse a job without one.
        chosen = next(iter(defaults or usable), "")
        whose = "SLURM's default" if defaults else "the first that you can use"
    if not chosen:
        raise ArgumentValueError(
            f"<{caller}> SLURM has no partition that you can use. "
            "Ask its administrators for access."
        )
    logger.info("<%s> INFO: Using partition %s (%s)", caller, chosen, whose)
    return chosen


def _tightest(limits: Sequence[parse.Limits]) -> parse.Limits:
    """Return the smallest of each limit; None stands for no limit."""

    def least(name: str) -> int | None:
        values = [getattr(limit, name) for limit in limits]
        return min((value for value in values if value is not None), default=None)

    return parse.Limits(least("memory"), least("cpus"), least("jobs"), least("gpus"))


def _fit(
    caller: str,
    site: Site,
    partition: parse.Partition,
    limits: parse.Limits,
    cores: int | None,
    memory: int | None,
    processes: int,
) -> tuple[int, int]:
    """Return cores and bytes of a job: as given, else the site's, else SLURM's, within limits."""
    # Memory and cores depend on each other: SLURM may limit memory per core, so cores that are
    # given bound the memory; cores that are not follow from the memory.
    rule = site.rule(partition.name)
    most_cores = _most_cores(partition, limits)
    asked_cores = cores or rule.cores or site.cores_per_worker
    most = _most_memory(partition, limits, asked_cores)
    if memory is None:
        memory = _usual_memory(site, partition, limits, asked_cores or 1)
    elif most is not None and memory > most:
        logger.warning(
            "<%s> WARNING: A worker may have at most %s in partition %s, not %s; using that",
            caller, format_memory(most), partition.name, format_memory(memory),
        )  # fmt: skip
    memory = min(memory, most) if most is not None else memory
    if asked_cores is None:
        per_core = partition.memory_per_cpu
        asked_cores = max(1, round(memory / per_core)) if per_core else 1
    # At least one core per process, unless the user says otherwise.
    asked_cores = max(asked_cores, processes if cores is None else asked_cores)
    if most_cores is not None and asked_cores > most_cores:
        logger.warning(
            "<%s> WARNING: A worker may have at most %d cores in partition %s, not %d; using that",
            caller, most_cores, partition.name, asked_cores,
        )  # fmt: skip
        asked_cores = most_cores
    return asked_cores, memory


def _most_cores(partition: parse.Partition, limits: parse.Limits) -> int | None:
    # SLURM reports only totals of a partition, so nodes of different sizes are averaged. What no
    # node has, SLURM refuses itself.
    per_node = partition.cpus // partition.nodes if partition.nodes else None
    values = [limits.cpus, partition.max_cpus_per_node, per_node]
    return min((value for value in values if value), default=None)


def _most_memory(partition: parse.Partition, limits: parse.Limits, cores: int | None) -> int | None:
    per_node = partition.memory // partition.nodes if partition.memory and partition.nodes else None
    per_cpu = partition.max_memory_per_cpu
    # To a job above MaxMemPerCPU SLURM silently adds cores (slurm.conf manual). The number of cores
    # the user gave must hold, so the memory is cut instead.
    by_cores = per_cpu * cores if per_cpu and cores else None
    values = [limits.memory, partition.max_memory_per_node, by_cores, per_node]
    return min((value for value in values if value), default=None)


def _usual_memory(site: Site, partition: parse.Partition, limits: parse.Limits, cores: int) -> int:
    """Return the default bytes of a job: the site's, a limit, SLURM's, or an equal share."""
    rule = site.rule(partition.name)
    if rule.memory or site.mem_per_worker:
        return int(rule.memory or site.mem_per_worker or 0)
    if limits.memory:
        # A partition with a limit per job is made for jobs of that size.
        return limits.memory
    if partition.memory_per_cpu:
        return partition.memory_per_cpu * cores
    if partition.memory_per_node:
        return partition.memory_per_node
    if partition.memory and partition.cpus:
        return partition.memory // partition.cpus * cores
    # SLURM reports neither a default nor the size of the nodes: a guess, 2 GB per core.
    return 2 * 2**30 * cores


def _without_slurm(
    caller: str, site: Site, name: str | None, cores: int | None, memory: int | None, processes: int
) -> tuple[int, int]:
    rule = site.rule(name)
    size = memory or rule.memory or site.mem_per_worker
    if size is None:
        raise ArgumentValueError(
            f"<{caller}> `mem_per_worker` is required: {site.system.upper()} has no default for "
            "it. Pass mem_per_worker='8GB', or set it in the site's description."
        )
    return cores or rule.cores or site.cores_per_worker or processes, size


def _check_architecture(caller: str, site: Site, partition: str | None) -> None:
    """Raise an error if the nodes cannot run this machine's Python."""
    theirs, ours = site.rule(partition).architecture, platform.machine()
    if theirs is not None and theirs != ours:
        fitting = [name for name, rule in site.partitions.items() if rule.architecture == ours]
        raise ArgumentValueError(
            f"<{caller}> The nodes of {partition} are {theirs} machines, this one is {ours}: its "
            f"Python cannot run there. Start from one of the {theirs} machines, or use "
            f"{', '.join(fitting) or 'another partition'}."
        )
