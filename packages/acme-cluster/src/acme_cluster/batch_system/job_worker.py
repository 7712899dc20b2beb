"""What runs in a job of the batch system: the worker processes of that job, and their nannies.

    batch script ── exec ──► this process: nannies ──► fork server ──► workers, one call at a time
    each

Run as `python -m acme_cluster.job_worker`, with what a worker has to know in its arguments and the
keys in the cluster's folder. It ends when the scheduler goes, when the job is cancelled, and at
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
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from acme_cluster.batch_system.cluster_folder import ClusterFolder, remove_tree
from acme_cluster.internals import fork_server, preloading

__all__ = ["main"]

# Memory of a job beside that of its workers: this process, and the fork server.
_OVERHEAD = 200 * 2**20

_JOB_ID_VARIABLES = ("SLURM_JOB_ID", "PBS_JOBID", "JOB_ID", "LSB_JOBID", "OAR_JOB_ID")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the workers of one job until they are no longer wanted.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the command line.

    Returns
    -------
    int
        Exit code of the job: 0 unless workers could not start.
    """
    options = _parser().parse_args(arguments)
    folder = ClusterFolder(options.folder) if options.folder else None
    if (folder is not None and not folder.path.exists()) or _gone(options.scheduler):
        if folder is not None and folder.path.exists():
            folder.leave(folder.enter(_job_id()), last_removes=True)
        print("The cluster that this job was meant for has ended.", flush=True)
        return 0
    os.environ.update(fork_server.thread_limits(options.cores))
    with _scratch() as scratch:
        marker = folder.enter(_job_id()) if folder is not None else None
        try:
            return _work(options, folder, scratch)
        finally:
            if folder is not None and marker is not None:
                folder.leave(marker, last_removes=_gone(options.scheduler))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Dask workers of one job.")
    parser.add_argument("scheduler", help="address of the scheduler")
    parser.add_argument("--name", required=True)
    parser.add_argument("--folder", type=Path, help="folder of the cluster, with its keys")
    parser.add_argument("--processes", type=int, default=1, help="workers in this job")
    parser.add_argument("--cores", type=int, default=1, help="cores of each worker")
    parser.add_argument("--memory", type=int, required=True, help="bytes of each worker")
    parser.add_argument("--death-timeout", type=float, default=60.0)
    parser.add_argument("--interface")
    parser.add_argument("--worker-ports")
    parser.add_argument("--nanny-ports")
    return parser


def _job_id() -> str:
    for name in _JOB_ID_VARIABLES:
        if os.environ.get(name):
            return os.environ[name]
    return str(os.getpid())


@contextlib.contextmanager
def _scratch() -> Iterator[str]:
    # SIGTERM is how a batch system ends a job; as an exception it lets this folder be removed.
    signal.signal(signal.SIGTERM, _terminate)
    folder = tempfile.mkdtemp(prefix="acme-")
    try:
        yield folder
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        # Workers and fork server get the signal as well, and may be making files until they do.
        remove_tree(folder)


def _terminate(number: int, _frame: object) -> None:
    raise SystemExit(0)


def _work(options: argparse.Namespace, folder: ClusterFolder | None, scratch: str) -> int:
    # One import for all processes of the job: the fork server is a fork of this process, made
    # before there is a thread or an event loop.
    fork_server.fork_here(scratch, options.cores, preloading.registered())
    from acme_cluster.console.dask_logging import silenced
    from acme_cluster.internals.choice import nanny_options
    from acme_cluster.internals.tls import cluster_security, lighten_accepting

    lighten_accepting()
    security = cluster_security(folder.keys()) if folder is not None else None
    keywords: dict[str, Any] = {
        "nthreads": 1,
        "memory_limit": options.memory,
        "local_directory": scratch,
        "dashboard": False,
        "security": security,
        "death_timeout": options.death_timeout,
        "interface": options.interface,
        "port": options.nanny_ports,
        "worker_port": options.worker_ports or 0,
        "silence_logs": logging.CRITICAL,
    }
    nanny, own = nanny_options(options.cores)
    keywords |= own
    names = [options.name]
    if options.processes > 1:
        names = [f"{options.name}-{number}" for number in range(options.processes)]
    with silenced(logging.CRITICAL), _settings(options) as config:
        keywords["config"] = config

        async def run() -> None:
            nannies = [nanny(options.scheduler, name=name, **keywords) for name in names]
            await asyncio.gather(*nannies)
            await asyncio.gather(*(nanny.finished() for nanny in nannies))

        try:
            asyncio.run(run())
        except (OSError, TimeoutError, RuntimeError) as error:
            print(f"The workers of this job could not reach {options.scheduler}: {error!r}")
            return 1
    return 0


@contextlib.contextmanager
def _settings(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    import dask

    from acme_cluster.lifetime.dask_config import WORKER_RULES, calm

    # The nanny has to be quicker than the batch system, which would end the job with all that runs
    # in it.
    spare = max(0.05, _OVERHEAD / (options.memory * options.processes))
    limit = {"distributed.worker.memory.terminate": max(0.5, 1 - spare)}
    quiet = calm()
    with dask.config.set({**limit, **quiet}):
        yield {**WORKER_RULES, **quiet}


def _gone(address: str) -> bool:
    """Tell whether nobody listens at the scheduler's address any more.

    A connection that is refused says so for sure; one that takes long says nothing.
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=5):
            return False
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
