"""Sites: institutions' clusters described by data.

A site is a mapping in a YAML file. The ones that ship with the package lie beside this module; a
user adds or changes others in dask's configuration, for example in `~/.config/dask/acme.yaml`::

    acme:
      sites:
        institute:
          hostnames: ["login*.institute.example"]
          partitions:
            short: {memory: 16GB}
          account: physics

A site that has the name of a shipped one replaces its keys one by one.
"""

from __future__ import annotations

import dataclasses
import difflib
import fnmatch
import getpass
import os
import platform
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from acme_cluster.errors import ArgumentValueError, ClusterError, SiteError
from acme_cluster.sizes import format_memory, parse_memory

__all__ = ["PartitionRule", "Site", "choose_partition", "detect_site", "load_sites", "site_named"]

# What a partition has to have above the largest measured memory: a quarter, for calls that were not
# measured.
MARGIN = 1.25

_SYSTEMS = ("slurm", "pbs", "sge", "lsf", "oar", "moab")


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


# --------------------------------------------------------------------------------------------------


def read_site(name: str, data: object) -> Site:
    """Make a site of what a file or configuration says.

    Parameters
    ----------
    name : str
        Its key.
    data : object
        A mapping of the attributes of :class:`Site`.

    Returns
    -------
    Site
        Checked.

    Raises
    ------
    SiteError
        Names the site, the key, and what it should be.
    """
    where = f"site {name!r}"
    if not isinstance(data, Mapping):
        raise SiteError(f"The {where} has to be a mapping of keys, not {data!r}.")
    readers = _READERS
    values: dict[str, Any] = {"name": name}
    for key, value in data.items():
        _known(key, readers, where)
        if value is not None:
            values[key] = readers[key](value, f"{where}, key {key!r}")
    site = Site(**values)
    for partition in site.auto_partitions:
        if site.rule(partition).memory is None:
            raise SiteError(
                f"{where}, key 'auto_partitions': {partition!r} has no memory under 'partitions', "
                f"so it cannot be chosen by memory. Add for example: {partition}: {{memory: 8GB}}"
            )
    return site


def _known(key: object, allowed: Mapping[str, Any], where: str) -> None:
    if key in allowed:
        return
    close = difflib.get_close_matches(str(key), allowed, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise SiteError(
        f"{where}: unknown key {key!r}.{hint} Known keys: {', '.join(sorted(allowed))}."
    )


def _text(value: object, where: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise SiteError(f"{where} has to be text, not {value!r}.")
    return str(value)


def _texts(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise SiteError(f"{where} has to be a list of texts, not {value!r}.")
    return tuple(_text(item, where) for item in value)


def _count(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise SiteError(f"{where} has to be a whole number, not {value!r}.")
    return value


def _positive(value: object, where: str) -> int:
    number = _count(value, where)
    if number == 0:
        raise SiteError(f"{where} has to be at least 1.")
    return number


def _size(value: object, where: str) -> int:
    try:
        return parse_memory(value)  # type: ignore[arg-type]
    except ClusterError as error:
        raise SiteError(f"{where}: {error}") from None


def _system(value: object, where: str) -> str:
    if value not in _SYSTEMS:
        raise SiteError(f"{where} has to be one of {', '.join(_SYSTEMS)}, not {value!r}.")
    return str(value)


def _ports(value: object, where: str) -> str:
    parts = str(value).split(":")
    if not all(part.isdigit() and int(part) < 65536 for part in parts) or len(parts) > 2:
        raise SiteError(
            f"{where} has to be a port or a range such as '10000:10099', not {value!r}."
        )
    return str(value)


def _partitions(value: object, where: str) -> dict[str, PartitionRule]:
    if not isinstance(value, Mapping):
        raise SiteError(f"{where} has to be a mapping of partition names, not {value!r}.")
    found = {}
    for name, data in value.items():
        inside = f"{where}, partition {name!r}"
        if not isinstance(data or {}, Mapping):
            raise SiteError(f"{inside} has to be a mapping, not {data!r}.")
        rule = {}
        for key, item in (data or {}).items():
            _known(key, _RULE_READERS, inside)
            rule[key] = _RULE_READERS[key](item, f"{inside}, key {key!r}")
        found[str(name)] = PartitionRule(**rule)
    return found


_RULE_READERS: dict[str, Callable[[object, str], Any]] = {
    "memory": _size,
    "cores": _positive,
    "architecture": _text,
}
_READERS: dict[str, Callable[[object, str], Any]] = {
    **dict.fromkeys(
        ("description", "default_partition", "account", "walltime", "qos", "gres", "interface"),
        _text,
    ),
    **dict.fromkeys(("hostnames", "paths", "auto_partitions", "job_extra", "prologue"), _texts),
    **dict.fromkeys(("log_directory", "shared_directory"), _text),
    **dict.fromkeys(("worker_ports", "nanny_ports"), _ports),
    "system": _system,
    "partitions": _partitions,
    "scheduler_port": _count,
    "max_workers": _positive,
    "mem_per_worker": _size,
    "cores_per_worker": _positive,
}


# --------------------------------------------------------------------------------------------------


def load_sites() -> dict[str, Site]:
    """Return all sites: the shipped ones and those of dask's configuration.

    Returns
    -------
    dict of str to Site
        By name; the user's own first, so that they are recognised before the shipped ones.

    Raises
    ------
    SiteError
        A site of the configuration has a wrong key or value.
    """
    import dask
    import yaml

    shipped: dict[str, dict[str, Any]] = {}
    for file in sorted(resources.files(__name__).iterdir(), key=lambda item: item.name):
        if file.name.endswith(".yaml"):
            shipped |= yaml.safe_load(file.read_text(encoding="utf-8"))
    configured = dask.config.get("acme.sites", None) or {}
    if not isinstance(configured, Mapping):
        raise SiteError(f"The configuration 'acme.sites' has to be a mapping, not {configured!r}.")
    # dask's configuration writes `-` and `_` alike.
    own = {str(name): _underscored(data) for name, data in configured.items()}
    merged = {
        name: {**shipped.get(name, {}), **data} if isinstance(data, Mapping) else data
        for name, data in own.items()
    }
    merged |= {name: data for name, data in shipped.items() if name not in own}
    return {name: read_site(name, data) for name, data in merged.items()}


def _underscored(data: Any) -> Any:
    if not isinstance(data, Mapping):
        return data
    return {k.replace("-", "_") if isinstance(k, str) else k: v for k, v in data.items()}


def site_named(name: str) -> Site:
    """Return a site.

    Parameters
    ----------
    name : str
        Its key.

    Returns
    -------
    Site
        From the shipped files or the configuration.

    Raises
    ------
    ValueError
        There is none of that name; the message lists those that there are.
    """
    sites = load_sites()
    if name not in sites:
        raise ArgumentValueError(
            f"There is no site {name!r}; there are: {', '.join(sites)}. Describe yours in dask's "
            "configuration, for example in ~/.config/dask/acme.yaml, under the key acme.sites."
        )
    return sites[name]


def detect_site() -> Site | None:
    """Return the site that this machine belongs to.

    Returns
    -------
    Site or None
        The first whose host names and paths fit; None if none does.
    """
    return next((site for site in load_sites().values() if site.here()), None)


def generic_site() -> Site:
    """Return the site of a SLURM cluster about which nothing is known.

    Returns
    -------
    Site
        Everything by default.
    """
    return Site(name="slurm", description="a SLURM cluster")


def choose_partition(site: Site, peak_bytes: int, architecture: str | None = None) -> str | None:
    """Choose the smallest partition that holds a worker of a measured size.

    Parameters
    ----------
    site : Site
        Its `auto_partitions` are the choice.
    peak_bytes : int
        Largest memory that was measured, in bytes.
    architecture : str, optional
        Machine type of this machine by default; partitions of another one are left out.

    Returns
    -------
    str or None
        Name of the partition with the least memory that is at least `MARGIN` times the measured; of
        equals the first that the site lists. None if the site lists none to choose from.

    Raises
    ------
    ValueError
        None is large enough.

    Examples
    --------
    >>> site = read_site("s", {"partitions": {"a": {"memory": "8GB"}, "b": {"memory": "16GB"}},
    ...                        "auto_partitions": ["a", "b"]})
    >>> choose_partition(site, 7 * 2**30)
    'b'
    """
    machine = architecture or platform.machine()
    sizes = {}
    for name in site.auto_partitions:
        rule = site.rule(name)
        if rule.memory is not None and rule.architecture in (None, machine):
            sizes[name] = rule.memory
    if not sizes:
        return None
    enough = {name: size for name, size in sizes.items() if size >= MARGIN * peak_bytes}
    if not enough:
        largest = max(sizes, key=lambda name: sizes[name])
        raise ArgumentValueError(
            f"A call takes {format_memory(peak_bytes)}, and even {largest} has only "
            f"{format_memory(sizes[largest])}. Name a partition and mem_per_worker yourself, "
            "or let each call work on less."
        )
    return min(enough, key=lambda name: enough[name])


def changed(site: Site, **values: Any) -> Site:
    """Return a site with some attributes replaced.

    Parameters
    ----------
    site : Site
        The original.
    **values
        New values; those that are None leave the original's.

    Returns
    -------
    Site
        A new one.
    """
    return dataclasses.replace(site, **{k: v for k, v in values.items() if v is not None})
