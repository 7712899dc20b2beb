"""The process of a job: nannies and their workers.

    job script ── exec ──► this process: nannies ──► fork server ──► workers, one call at a time

Run as `python -m acme_cluster.job_worker` with all settings as arguments; the keys are in the
folder of the cluster. The process ends when the scheduler ends, when the job is cancelled, and at
once if the cluster ended while the job was waiting in the queue.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from acme_cluster.batch_system.cluster_folder import ClusterFolder, remove_tree
from acme_cluster.devices import VARIABLE, counted, devices_of_job, shares
from acme_cluster.internals import fork_server, preloading

__all__ = ["main"]

# Bytes of a job that are not its workers': this process and the fork server, each mostly imported
# code. A batch system counts all processes of a job together.
_OVERHEAD = 200 * 2**20

# In the order of `BATCH_SYSTEMS`; Moab schedules jobs of PBS (Torque).
_JOB_ID_VARIABLES = ("SLURM_JOB_ID", "PBS_JOBID", "JOB_ID", "LSB_JOBID", "OAR_JOB_ID")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the workers of one job until the cluster ends.

    Parameters
    ----------
    arguments : sequence of str, optional
        Command-line arguments; by default those of this process.

    Returns
    -------
    int
        Exit code of the job: 1 if the workers could not reach the scheduler, else 0.
    """
    options = _parser().parse_args(arguments)
    folder = ClusterFolder(options.folder) if options.folder else None
    # A client that was killed cannot cancel its waiting jobs: each ends here when its turn comes.
    if (folder is not None and not folder.path.exists()) or _gone(options.scheduler):
        # Entering and leaving at once lets the last of these jobs remove the folder.
        if folder is not None and folder.path.exists():
            folder.leave(folder.enter(_job_id()), last_removes=True)
        print("The cluster that this job was meant for has ended.", flush=True)
        return 0
    environs = _environments(options)
    if environs is None:
        return 1
    # Before anything imports NumPy: OpenBLAS and OpenMP read their thread counts when loaded.
    os.environ.update(fork_server.thread_limits(options.cores))
    with _scratch() as scratch:
        marker = folder.enter(_job_id()) if folder is not None else None
        try:
            return _work(options, environs, folder, scratch)
        finally:
            if folder is not None and marker is not None:
                folder.leave(marker, last_removes=_gone(options.scheduler))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Dask workers of one job.")
    parser.add_argument("scheduler", help="address of the scheduler")
    parser.add_argument("--name", required=True, help="name of the worker")
    parser.add_argument("--folder", type=Path, help="folder of the cluster, with its keys")
    parser.add_argument("--processes", type=int, default=1, help="workers in this job")
    parser.add_argument("--cores", type=int, default=1, help="cores of each worker")
    parser.add_argument("--gpus", type=int, default=0, help="GPUs of each worker")
    parser.add_argument("--memory", type=int, required=True, help="bytes of each worker")
    # The default stands for job scripts that do not name it; see `jobs._DEATH_TIMEOUT`.
    parser.add_argument("--death-timeout", type=float, default=60.0)
    parser.add_argument("--interface")
    parser.add_argument("--worker-ports")
    parser.add_argument("--nanny-ports")
    return parser


def _environments(options: argparse.Namespace) -> list[dict[str, str]] | None:
    """Return the variables that differ between the workers; None, with a message, if GPUs lack."""
    if not options.gpus:
        return [{}] * options.processes
    found = devices_of_job()
    parts = shares(found.names, options.gpus)
    if len(parts) < options.processes:
        # The user gets this line as the last output of the lost job.
        print(
            f"This job has {counted(len(found.names))} ({found.source}), but its workers need "
            f"{options.gpus * options.processes}."
        )
        return None
    return [{VARIABLE: part} for part in parts[: options.processes]]


def _job_id() -> str:
    for name in _JOB_ID_VARIABLES:
        if os.environ.get(name):
            return os.environ[name]
    # Started by hand: any name that no other job on this machine has.
    return str(os.getpid())


@contextlib.contextmanager
def _scratch() -> Iterator[str]:
    """Make a folder on the node's own disk, and remove it at the end of the job."""
    # Batch systems end a job with SIGTERM (SLURM sends SIGKILL after `KillWait`, 30 s by default).
    # By default it ends Python on the spot; as an exception it runs the `finally` below.
    signal.signal(signal.SIGTERM, _terminate)
    folder = tempfile.mkdtemp(prefix="acme-")
    try:
        yield folder
    finally:
        # A second SIGTERM must not interrupt the removal.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        # Workers and fork server get the same signal, and may create files until it arrives.
        remove_tree(folder)


def _terminate(number: int, _frame: object) -> None:
    raise SystemExit(0)


def _work(
    options: argparse.Namespace,
    environs: Sequence[Mapping[str, str]],
    folder: ClusterFolder | None,
    scratch: str,
) -> int:
    # One import for all processes of the job: the fork server is a fork of this process. It comes
    # first because a fork copies only the calling thread, and locks that others hold stay locked.
    fork_server.fork_here(scratch, options.cores, preloading.registered())
    from acme_cluster.console.dask_logging import silenced
    from acme_cluster.internals.choice import nanny_options
    from acme_cluster.internals.tls import cluster_security, lighten_accepting

    lighten_accepting()
    security = cluster_security(folder.keys()) if folder is not None else None
    keywords: dict[str, Any] = {
        # One call at a time; `cores` is the number of threads that libraries may use in it.
        "nthreads": 1,
        "memory_limit": options.memory,
        "local_directory": scratch,
        "dashboard": False,
        "security": security,
        "death_timeout": options.death_timeout,
        "interface": options.interface,
        "port": options.nanny_ports,
        "worker_port": options.worker_ports or 0,
        # The output of a job is for what calls print, and its last line is quoted when it is lost.
        "silence_logs": logging.CRITICAL,
    }
    nanny, own = nanny_options(options.cores)
    common = own.pop("env")
    keywords |= own
    names = [options.name]
    if options.processes > 1:
        names = [f"{options.name}-{number}" for number in range(options.processes)]
    with silenced(logging.CRITICAL), _settings(options) as config:
        keywords["config"] = config

        async def run() -> None:
            nannies = [
                nanny(options.scheduler, name=name, env={**common, **more}, **keywords)
                for name, more in zip(names, environs, strict=True)
            ]
            await asyncio.gather(*nannies)
            await asyncio.gather(*(nanny.finished() for nanny in nannies))

        try:
            asyncio.run(run())
        except (OSError, TimeoutError, RuntimeError) as error:
            # The user gets this line as the last output of the lost job.
            print(f"The workers of this job could not reach {options.scheduler}: {error!r}")
            return 1
    return 0


@contextlib.contextmanager
def _settings(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Set dask's configuration of this process, and yield that of its workers."""
    import dask

    from acme_cluster.lifetime.dask_config import WORKER_RULES, calm

    # A nanny ends a worker at 95 % of its memory by default. In a small job that leaves less than
    # `_OVERHEAD`, so the batch system would end the whole job first, with no word to the client.
    # Half of the memory is the floor: below it a worker could hardly do anything.
    spare = max(0.05, _OVERHEAD / (options.memory * options.processes))
    limit = {"distributed.worker.memory.terminate": max(0.5, 1 - spare)}
    quiet = calm()
    with dask.config.set({**limit, **quiet}):
        yield {**WORKER_RULES, **quiet}


def _gone(address: str) -> bool:
    """Return whether the scheduler has certainly gone.

    A refused connection proves it. A timeout or an unreachable network does not: a worker will try
    again for longer.
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        # IPv6 addresses stand in brackets.
        with socket.create_connection((host.strip("[]"), int(port)), timeout=5):
            return False
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
