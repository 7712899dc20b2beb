"""Jobs of a batch system that hold workers: their plan, their script, their class for dask.

dask-jobqueue knows the batch systems. Added here: a worker command of our own, memory to the
megabyte, and submission without the variables of a surrounding job.
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
from acme_cluster.sites.model import BATCH_SYSTEMS, Site
from acme_cluster.slurm import parse

__all__ = ["Plan", "job_class", "job_options", "job_script", "jobqueue"]

# Seconds for which a worker tries to reach its scheduler before it ends, and its job with it: long
# enough for a busy scheduler, short enough that no core is held for a client that was killed.
_DEATH_TIMEOUT = 60


@dataclass(frozen=True)
class Plan:
    """The jobs of one cluster. All values have been checked and cut to the limits.

    Attributes
    ----------
    caller : str
        Name of the public function that was called, for messages.
    site : Site
        The cluster, with its options for every job (account, ports, folders and so on).
    n_workers : int
        Number of jobs.
    partition : str or None
        Partition or queue; None for the system's default.
    cores, processes, memory : int
        Cores of a job, worker processes in it, and bytes of the whole job.
    directives : tuple of str
        Further options of the job script.
    limits : parse.Limits
        Limits of the partition's QoS, to explain why jobs wait.
    gpus : int
        GPUs of each worker process; 0 to leave `CUDA_VISIBLE_DEVICES` as it is.
    """

    caller: str
    site: Site
    n_workers: int
    partition: str | None
    cores: int
    processes: int
    memory: int
    directives: tuple[str, ...] = ()
    limits: parse.Limits = field(default_factory=parse.Limits)
    gpus: int = 0

    def worker_command(self, scheduler: str, name: str, folder: Path | None) -> str:
        """Return the shell command that a job runs.

        Parameters
        ----------
        scheduler : str
            Address of the scheduler.
        name : str
            Name of the worker.
        folder : pathlib.Path or None
            Folder of the cluster, with its keys.

        Returns
        -------
        str
            The command. With `exec` it replaces the shell, which would not pass the batch system's
            signals on.
        """
        command = [sys.executable, "-m", "acme_cluster.job_worker", scheduler, "--name", name]
        command += ["--processes", str(self.processes)]
        command += ["--cores", str(max(1, self.cores // self.processes))]
        command += ["--memory", str(self.memory // self.processes)]
        command += ["--death-timeout", str(_DEATH_TIMEOUT)]
        command += ["--gpus", str(self.gpus)] if self.gpus else []
        options = {
            "--folder": folder,
            "--interface": self.site.interface,
            "--worker-ports": self.site.worker_ports,
            "--nanny-ports": self.site.nanny_ports,
        }
        for option, value in options.items():
            command += [option, str(value)] if value is not None else []
        return "exec " + shlex.join(command)


def job_options(plan: Plan, log_directory: str | None) -> dict[str, Any]:
    """Return the keywords of dask-jobqueue's job class for a plan."""
    site = plan.site
    megabytes = plan.memory // 2**20
    options: dict[str, Any] = {
        "queue": plan.partition,
        "cores": plan.cores,
        "processes": plan.processes,
        "memory": f"{plan.memory} B",
        "walltime": site.walltime,
        "log_directory": log_directory,
        "job_script_prologue": [*_import_path(), *site.prologue],
        # The output of SLURM's jobs is named after it: `acme-JOB.out`.
        "job_name": "acme",
        "python": sys.executable,
        "interface": site.interface,
        "job_extra_directives": list(plan.directives),
    }
    # The systems call what is charged for a job by two names, and take memory in several forms.
    options["account" if site.system in ("slurm", "pbs", "moab") else "project"] = site.account
    if site.system == "slurm":
        # Without `job_mem`, dask-jobqueue rounds up to whole gigabytes (7900 MB becomes 8 GB), and
        # a job above the limit of its QoS waits for ever.
        options |= {"job_mem": f"{megabytes}M", "job_cpu": plan.cores}
        if site.walltime is None:
            # dask-jobqueue's own default of half an hour; without it the partition's holds.
            options["job_directives_skip"] = ["-t 00:30:00"]
    elif site.system in ("pbs", "moab"):
        options["resource_spec"] = f"select=1:ncpus={plan.cores}:mem={megabytes}mb"
    elif site.system == "sge":
        # Grid Engine multiplies h_vmem by the slots of a job.
        options["resource_spec"] = f"h_vmem={megabytes // plan.cores}M"
    elif site.system == "lsf":
        options |= {"mem": plan.memory, "ncpus": plan.cores}
    return options


def _import_path() -> list[str]:
    """Return the lines that make this package importable in a job, if it is not installed."""
    # sbatch passes this process's environment on, PYTHONPATH included, but no change of sys.path.
    here = str(Path(__file__).resolve().parents[2])
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if "site-packages" in here or "dist-packages" in here or here in known:
        return []
    return [f"export PYTHONPATH={shlex.quote(here)}${{PYTHONPATH:+:$PYTHONPATH}}"]


class _BatchJob:
    """Additions to dask-jobqueue's job class, the same for all batch systems."""

    status: Any
    job_id: str | None

    def __init__(self, scheduler: Any = None, name: Any = None, **options: Any) -> None:
        plan: Plan = options.pop("plan")
        folder: Path | None = options.pop("folder", None)
        self.gate: Gate = options.pop("gate", None) or Gate()
        # From these dask-jobqueue would make options of `dask worker`, which our command is not.
        for replaced in ("protocol", "security"):
            options.pop(replaced, None)
        super().__init__(scheduler, name, **options)  # type: ignore[call-arg]
        # dask-jobqueue's slot for the last line of the job script.
        self._command_template = plan.worker_command(str(scheduler), str(name), folder)
        # Monotonic time when a worker of this job was first seen; 0.0 for never.
        self.seen_online = 0.0

    async def start(self) -> None:
        """Submit the job. The gate records a refusal, which ends the waiting for workers."""
        try:
            await self.gate.submit(super().start())  # type: ignore[misc]
        except (OSError, ValueError, RuntimeError) as error:
            # The first refusal is enough: the jobs of a plan are alike.
            if self.gate.open and self.gate.refusal is None:
                self.gate.refusal = str(error)
            # distributed's ProcessInterface asserts this status after a start.
            self.status = Status.running

    @staticmethod
    async def _call(cmd: Sequence[str], *, shell: bool = False, **_options: object) -> str:
        # dask-jobqueue runs all commands through this hook. Its own would hand down the variables
        # of a surrounding job, and has no timeout.
        return await call(["sh", "-c", " ".join(cmd)] if shell else cmd)

    @classmethod
    async def _close_job(cls, job_id: str | None, cancel_command: str) -> None:
        # Cancelling a job that has ended fails; that is no error here.
        if job_id:
            with contextlib.suppress(OSError):
                await call([*shlex.split(cancel_command), job_id])


def jobqueue(system: str, kind: str) -> tuple[str, Any]:
    """Import a class of dask-jobqueue.

    Parameters
    ----------
    system : str
        A key of `BATCH_SYSTEMS`.
    kind : {"Job", "Cluster"}
        Which of its classes.

    Returns
    -------
    prefix : str
        The batch system's name in class names.
    cls : type
        The class.
    """
    prefix = BATCH_SYSTEMS[system]
    with _handlers_untouched():
        return prefix, getattr(importlib.import_module(f"dask_jobqueue.{system}"), prefix + kind)


@contextlib.contextmanager
def _handlers_untouched() -> Iterator[None]:
    """Keep an import from setting signal handlers."""
    # dask_jobqueue/runner.py (0.9) sets one for SIGINT when imported: it takes KeyboardInterrupt
    # from the whole program, and raises ValueError outside the main thread.
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
        A key of `BATCH_SYSTEMS`.

    Returns
    -------
    type
        A subclass of dask-jobqueue's job class.
    """
    prefix, base = jobqueue(system, "Job")
    # dask-jobqueue takes the first number in sbatch's output for the job id; `--parsable` prints
    # nothing but the id.
    extra = {"submit_command": "sbatch --parsable"} if system == "slurm" else {}
    return type(f"{prefix}WorkerJob", (_BatchJob, base), extra)


def job_script(plan: Plan) -> str:
    """Return the job script of a plan. Nothing is submitted or started.

    Parameters
    ----------
    plan : Plan
        The jobs.

    Returns
    -------
    str
        The script, with placeholders for the scheduler's address, the worker's name and the folder
        of the cluster.
    """
    base = shared_base(plan.site.path(plan.site.shared_directory))
    job = job_class(plan.site.system)(
        "tls://SCHEDULER:PORT",
        "NAME",
        plan=plan,
        folder=base / "clusters" / "CLUSTER",
        **job_options(plan, None),
    )
    return str(job.job_script())
