"""What is known of a site, as values that have been checked."""

from __future__ import annotations

import fnmatch
import getpass
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["PartitionRule", "Site"]


@dataclass(frozen=True)
class PartitionRule:
    """What a site says about one of its partitions.

    Attributes
    ----------
    memory : int or None
        Bytes of one worker if the user asks for nothing.
    cores : int or None
        Cores of one worker if the user asks for nothing.
    architecture : str or None
        Machine type of its nodes, as `platform.machine()` names it.
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
        For people.
    system : str
        Batch system, as dask-jobqueue calls it.
    hostnames, paths : tuple of str
        The site is recognised where one of these patterns fits the host's name and all of these
        paths exist.
    partitions : mapping of str to PartitionRule
        What is known about partitions; others of the batch system may be used as well.
    auto_partitions : tuple of str
        Those from which `partition="auto"` chooses; by default none, which means the system's
        default partition.
    default_partition : str or None
        Used if the user names none and nothing was measured.
    account, walltime, qos, gres : str or None
        Options of every job.
    job_extra, prologue : tuple of str
        Further options of the job script, and lines of shell before the worker.
    log_directory, shared_directory : str or None
        Where jobs print to, and where keys lie; `{user}` and `{time}` are filled in.
    interface : str or None
        Network interface between client and nodes.
    scheduler_port : int
        0 for any.
    worker_ports, nanny_ports : str or None
        Ranges that a firewall leaves open, "10000:10099".
    max_workers : int
        Most workers that are started without being asked for by number.
    mem_per_worker : int or None
        Bytes of one worker where the partition says nothing.
    cores_per_worker : int or None
        Cores of one worker where the partition says nothing.
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
        """Tell whether this machine belongs to the site.

        Returns
        -------
        bool
            Always False for a site that says neither host names nor paths.
        """
        if not self.hostnames and not self.paths:
            return False
        host = socket.gethostname()
        named = any(fnmatch.fnmatch(host, pattern) for pattern in self.hostnames)
        if self.hostnames and not named:
            return False
        return all(os.path.isdir(path) for path in self.paths)

    def path(self, template: str | None) -> str | None:
        """Fill in the user's name and the time.

        Parameters
        ----------
        template : str or None
            A path of the site.

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
        """Return what is known about a partition.

        Parameters
        ----------
        partition : str or None
            Its name.

        Returns
        -------
        PartitionRule
            An empty one for a partition that the site does not mention.
        """
        return self.partitions.get(partition or "", PartitionRule())
