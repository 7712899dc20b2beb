"""From what a file or dask's configuration says to a site; a schema that names the wrong key."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any

from acme_cluster.errors import ClusterError, SiteError
from acme_cluster.sites.model import PartitionRule, Site
from acme_cluster.sizes import parse_memory

__all__ = ["read_site"]

_SYSTEMS = ("slurm", "pbs", "sge", "lsf", "oar", "moab")


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
