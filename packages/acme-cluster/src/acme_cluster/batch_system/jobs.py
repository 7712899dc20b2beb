"""Jobs of a batch system that hold workers: what describes them, and what they are for dask.

dask-jobqueue knows the batch systems. What is added here: a worker command of our own, sizes to the
megabyte, and an environment without the traces of a surrounding job.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distributed import Status

from acme_cluster.batch_system.cluster_folder import shared_base
from acme_cluster.batch_system.submission import Gate, call
from acme_cluster.slurm import parse

__all__ = ["SYSTEMS", "Plan", "job_class", "job_options", "job_script", "jobqueue"]

# Batch system: module and class prefix in dask-jobqueue, and the command that cancels jobs.
SYSTEMS = {
    "slurm": ("slurm", "SLURM"),
    "pbs": ("pbs", "PBS"),
    "sge": ("sge", "SGE"),
    "lsf": ("lsf", "LSF"),
    "oar": ("oar", "OAR"),
    "moab": ("moab", "Moab"),
}


@dataclass(frozen=True)
class Plan:
    """Everything that describes the jobs of one cluster. All values have been checked.

    Attributes
    ----------
    caller : str
        The function that the user called, for messages.
    system : str
        A key of `SYSTEMS`.
    n_workers : int
        Number of jobs.
    partition : str or None
        Partition or queue; None for the system's default.
    cores, processes, memory : int
        Cores of a job, worker processes in it, and bytes of the whole job.
    account, walltime : str or None
        As the batch system wants them.
    directives : tuple of str
        Further options of the job script.
    prologue : tuple of str
        Lines of shell before the worker.
    log_directory : str or None
        Where jobs print to; None for a folder below the shared one.
    shared_directory : str or None
        Base for keys; None for the default.
    interface : str or None
        Network interface of scheduler and workers.
    scheduler_port : int
        0 for any.
    worker_ports, nanny_ports : str or None
        Ranges such as "10000:10099".
    death_timeout : float
        Seconds that a worker looks for its scheduler.
    limits : parse.Limits
        What the partition's QoS allows, to explain why jobs wait.
    """

    caller: str
    system: str
    n_workers: int
    partition: str | None
    cores: int
    processes: int
    memory: int
    account: str | None = None
    walltime: str | None = None
    directives: tuple[str, ...] = ()
    prologue: tuple[str, ...] = ()
    log_directory: str | None = None
    shared_directory: str | None = None
    interface: str | None = None
    scheduler_port: int = 0
    worker_ports: str | None = None
    nanny_ports: str | None = None
    death_timeout: float = 60.0
    limits: parse.Limits = field(default_factory=parse.Limits)

    def worker_command(self, scheduler: str, name: str, folder: Path | None) -> str:
        """Return the shell command that a job runs.

        Parameters
        ----------
        scheduler : str
            Its address.
        name : str
            Name of the worker.
        folder : pathlib.Path or None
            The cluster's, with its keys.

        Returns
        -------
        str
            It replaces the shell, so that the batch system's signals reach the worker.
        """
        command = [sys.executable, "-m", "acme_cluster.job_worker", scheduler, "--name", name]
        command += ["--processes", str(self.processes)]
        command += ["--cores", str(max(1, self.cores // self.processes))]
        command += ["--memory", str(self.memory // self.processes)]
        command += ["--death-timeout", f"{self.death_timeout:g}"]
        options = {
            "--folder": folder,
            "--interface": self.interface,
            "--worker-ports": self.worker_ports,
            "--nanny-ports": self.nanny_ports,
        }
        for option, value in options.items():
            command += [option, str(value)] if value is not None else []
        return "exec " + shlex.join(command)


def job_options(plan: Plan, log_directory: str | None) -> dict[str, Any]:
    """Return the keywords of dask-jobqueue's job class for a plan."""
    megabytes = plan.memory // 2**20
    directives = list(plan.directives)
    options: dict[str, Any] = {
        "cores": plan.cores,
        "processes": plan.processes,
        "memory": f"{plan.memory} B",
        "walltime": plan.walltime,
        "log_directory": log_directory,
        "job_script_prologue": [*_import_path(), *plan.prologue],
        "job_name": "acme",
        "python": sys.executable,
        "interface": plan.interface,
    }
    if plan.system == "slurm":
        # To the megabyte: dask-jobqueue would round up, beyond a limit that the job was made to
        # fit.
        options |= {"job_mem": f"{megabytes}M", "job_cpu": plan.cores, "account": plan.account}
        if plan.walltime is None:
            # dask-jobqueue's own default of half an hour; without it the partition's holds.
            options["job_directives_skip"] = ["-t 00:30:00"]
    elif plan.system in ("pbs", "moab"):
        options["account"] = plan.account
        options["resource_spec"] = f"select=1:ncpus={plan.cores}:mem={megabytes}mb"
    elif plan.system == "sge":
        options["project"] = plan.account
        options["resource_spec"] = f"h_vmem={megabytes // plan.cores}M"
    else:
        options["project"] = plan.account
    if plan.system == "lsf":
        options |= {"mem": plan.memory, "ncpus": plan.cores}
    options["queue"] = plan.partition
    options["job_extra_directives"] = directives
    return options


def _import_path() -> list[str]:
    # Where this package is used from a folder that only this process knows, jobs have to be told.
    here = str(Path(__file__).resolve().parents[2])
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if "site-packages" in here or "dist-packages" in here or here in known:
        return []
    return [f"export PYTHONPATH={shlex.quote(here)}${{PYTHONPATH:+:$PYTHONPATH}}"]


class _BatchJob:
    """What our jobs have in addition to dask-jobqueue's, whatever the batch system."""

    status: Any
    job_id: str | None

    def __init__(self, scheduler: Any = None, name: Any = None, **options: Any) -> None:
        plan: Plan = options.pop("plan")
        folder: Path | None = options.pop("folder", None)
        self.gate: Gate = options.pop("gate", None) or Gate()
        for handled_by_us in ("protocol", "security"):
            options.pop(handled_by_us, None)
        super().__init__(scheduler, name, **options)  # type: ignore[call-arg]
        self._command_template = plan.worker_command(str(scheduler), str(name), folder)
        self.seen_online = 0.0

    async def start(self) -> None:
        """Submit the job. A refusal is noted, for whoever waits for the workers."""
        try:
            await self.gate.submit(super().start())  # type: ignore[misc]
        except (OSError, ValueError, RuntimeError) as error:
            if self.gate.open and self.gate.refusal is None:
                self.gate.refusal = str(error)
            self.status = Status.running

    @staticmethod
    async def _call(cmd: Sequence[str], *, shell: bool = False, **_options: object) -> str:
        return await call(["sh", "-c", " ".join(cmd)] if shell else cmd)

    @classmethod
    async def _close_job(cls, job_id: str | None, cancel_command: str) -> None:
        if job_id:
            with contextlib.suppress(OSError):
                await call([*shlex.split(cancel_command), job_id])


def jobqueue(system: str, kind: str) -> tuple[str, Any]:
    """Import a class of dask-jobqueue.

    Parameters
    ----------
    system : str
        A key of `SYSTEMS`.
    kind : str
        "Job" or "Cluster".

    Returns
    -------
    prefix : str
        The batch system's name in class names.
    cls : type
        The class.
    """
    module, prefix = SYSTEMS[system]
    with _handlers_untouched():
        return prefix, getattr(importlib.import_module(f"dask_jobqueue.{module}"), prefix + kind)


@contextlib.contextmanager
def _handlers_untouched() -> Iterator[None]:
    # dask-jobqueue 0.9 sets a handler for Ctrl-C when it is imported, which takes KeyboardInterrupt
    # from the whole program, and fails outside the main thread.
    original, me = signal.signal, threading.get_ident()

    def ignored(number: Any, handler: Any) -> Any:
        if threading.get_ident() == me:
            return signal.getsignal(number)
        return original(number, handler)

    signal.signal = ignored  # type: ignore[assignment]
    try:
        yield
    finally:
        signal.signal = original


def job_class(system: str) -> Any:
    """Return our job class for a batch system.

    Parameters
    ----------
    system : str
        A key of `SYSTEMS`.

    Returns
    -------
    type
        A subclass of dask-jobqueue's job class.
    """
    prefix, base = jobqueue(system, "Job")
    extra = {"submit_command": "sbatch --parsable"} if system == "slurm" else {}
    return type(f"{prefix}WorkerJob", (_BatchJob, base), extra)


def job_script(plan: Plan) -> str:
    """Return the job script of a plan without submitting or starting anything.

    Parameters
    ----------
    plan : Plan
        The jobs.

    Returns
    -------
    str
        As it will be submitted, but for the scheduler's address, the worker's name and the folder
        of the cluster.
    """
    folder = shared_base(plan.shared_directory) / "clusters" / "CLUSTER"
    options = job_options(plan, None)
    job = job_class(plan.system)(
        "tls://SCHEDULER:PORT", "NAME", plan=plan, folder=folder, **options
    )
    return str(job.job_script())
