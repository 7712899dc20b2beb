"""A site and its partitions, as checked values.

A site holds the options of every job once: a plan of jobs refers to its site instead of repeating
them, and a setup function that overrides one works on a changed copy of the site.
"""

from __future__ import annotations

import fnmatch
import getpass
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["BATCH_SYSTEMS", "PartitionRule", "Site"]

# Batch systems that dask-jobqueue supports: the name of its module, and the prefix of its classes.
# HTCondor is left out: its jobs are submit descriptions, not shell scripts.
BATCH_SYSTEMS = {
    "slurm": "SLURM",
    "pbs": "PBS",
    "sge": "SGE",
    "lsf": "LSF",
    "oar": "OAR",
    "moab": "Moab",
}


@dataclass(frozen=True)
class PartitionRule:
    """Defaults and facts of one partition.

    Attributes
    ----------
    memory : int or None
        Bytes of one worker by default.
    cores : int or None
        Cores of one worker by default.
    architecture : str or None
        Machine type of the nodes, as `platform.machine()` names it.
    """

    memory: int | None = None
    cores: int | None = None
    architecture: str | None = None


@dataclass(frozen=True)
class Site:
    """One institution's cluster.

    Attributes
    ----------
    name : str
        Key of the site.
    description : str
        Name for people, shown in messages.
    system : str
        Batch system, a key of `BATCH_SYSTEMS`.
    hostnames, paths : tuple of str
        A machine belongs to the site if one of the patterns matches its host name and all of the
        paths are folders; an empty tuple demands nothing.
    partitions : mapping of str to PartitionRule
        Known partitions. Others of the batch system may be used as well.
    auto_partitions : tuple of str
        Partitions from which `partition="auto"` chooses by measured memory. If empty, "auto" is the
        default partition.
    default_partition : str or None
        Default partition; None for the batch system's own.
    account, walltime, qos, gres : str or None
        Options of every job.
    gpu_gres : str
        What SLURM calls the site's GPUs, with or without a type: "gpu", "gpu:a100".
    job_extra, prologue : tuple of str
        Further options of the job script, and shell commands to run before the worker.
    log_directory, shared_directory : str or None
        Folders of the jobs' output and of the keys; `{user}` and `{time}` are filled in.
    interface : str or None
        Network interface between client and nodes.
    scheduler_port : int
        Port of the scheduler; 0 for any free one.
    worker_ports, nanny_ports : str or None
        Port ranges that the firewall leaves open, such as "10000:10099".
    max_workers : int
        Most workers to start where the user gives no number.
    mem_per_worker, cores_per_worker : int or None
        Bytes and cores of one worker where the partition has no default.
    """

    name: str
    description: str = ""
    system: str = "slurm"
    hostnames: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    partitions: Mapping[str, PartitionRule] = field(default_factory=dict)
    auto_partitions: tuple[str, ...] = ()
    default_partition: str | None = None
    account: str | None = None
    walltime: str | None = None
    qos: str | None = None
    gres: str | None = None
    gpu_gres: str = "gpu"
    job_extra: tuple[str, ...] = ()
    prologue: tuple[str, ...] = ()
    log_directory: str | None = None
    shared_directory: str | None = None
    interface: str | None = None
    scheduler_port: int = 0
    worker_ports: str | None = None
    nanny_ports: str | None = None
    max_workers: int = 100
    mem_per_worker: int | None = None
    cores_per_worker: int | None = None

    def here(self) -> bool:
        """Return whether this machine belongs to the site.

        Returns
        -------
        bool
            Always False for a site without host names and paths.
        """
        if not self.hostnames and not self.paths:
            return False
        # The cheap test first: a path may be on an automounted file system, and slow to look up.
        host = socket.gethostname()
        named = any(fnmatch.fnmatch(host, pattern) for pattern in self.hostnames)
        if self.hostnames and not named:
            return False
        return all(os.path.isdir(path) for path in self.paths)

    def path(self, template: str | None) -> str | None:
        """Fill the user's name and the current time into a path.

        Parameters
        ----------
        template : str or None
            `log_directory` or `shared_directory` of the site.

        Returns
        -------
        str or None
            The path; None for None.
        """
        if template is None:
            return None
        values = {"user": getpass.getuser(), "time": time.strftime("%Y%m%d-%H%M%S")}
        return template.format(**values)

    def rule(self, partition: str | None) -> PartitionRule:
        """Return the defaults of a partition.

        Parameters
        ----------
        partition : str or None
            Name of the partition; None for an unnamed default.

        Returns
        -------
        PartitionRule
            An empty rule for a partition that the site does not list.
        """
        return self.partitions.get(partition or "", PartitionRule())
