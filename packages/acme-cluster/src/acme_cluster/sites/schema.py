"""Conversion of a mapping from YAML or dask's configuration to a site, with precise errors.

Each key has a reader, which checks a value and converts it. A reader takes the value and its place
("site 'x', key 'y'"), with which its error message starts.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any

from acme_cluster.errors import ClusterError, SiteError
from acme_cluster.sites.model import BATCH_SYSTEMS, PartitionRule, Site
from acme_cluster.sizes import parse_memory

__all__ = ["read_site"]


def read_site(name: str, data: object) -> Site:
    """Convert a mapping to a site.

    Parameters
    ----------
    name : str
        Key of the site.
    data : object
        A mapping with attributes of :class:`Site`.

    Returns
    -------
    Site
        The site, checked.

    Raises
    ------
    SiteError
        A key or value is wrong; the message has the site, the key, and a valid value.
    """
    where = f"site {name!r}"
    if not isinstance(data, Mapping):
        raise SiteError(f"The {where} must be a mapping of keys, not {data!r}.")
    values: dict[str, Any] = {"name": name}
    for key, value in data.items():
        _check_key(key, _READERS, where)
        # `key:` without a value, None in YAML, stands for the default.
        if value is not None:
            values[key] = _READERS[key](value, f"{where}, key {key!r}")
    site = Site(**values)
    # The one rule about two keys; a reader sees only its own value.
    for partition in site.auto_partitions:
        if site.rule(partition).memory is None:
            raise SiteError(
                f"{where}, key 'auto_partitions': {partition!r} has no memory under 'partitions', "
                f"so it cannot be chosen by memory. Add for example: {partition}: {{memory: 8GB}}"
            )
    return site


def _check_key(key: object, allowed: Mapping[str, Any], where: str) -> None:
    if key in allowed:
        return
    close = difflib.get_close_matches(str(key), allowed, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise SiteError(
        f"{where}: unknown key {key!r}.{hint} Known keys: {', '.join(sorted(allowed))}."
    )


def _text(value: object, where: str) -> str:
    # Numbers are text here: YAML reads an account called 2024 as a number.
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise SiteError(f"{where} must be text, not {value!r}.")
    return str(value)


def _walltime(value: object, where: str) -> str:
    # PyYAML reads YAML 1.1, which has numbers to the base of 60: 12:00:00 becomes 43200, and SLURM
    # takes that for minutes.
    if not isinstance(value, str):
        raise SiteError(f'{where} must be text in quotes, such as "12:00:00", not {value!r}.')
    return value


def _texts(value: object, where: str) -> tuple[str, ...]:
    # A string is refused instead of being taken for a list of its characters.
    if not isinstance(value, list | tuple):
        raise SiteError(f"{where} must be a list of strings, not {value!r}.")
    return tuple(_text(item, where) for item in value)


def _count(value: object, where: str) -> int:
    # bool is a subclass of int.
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise SiteError(f"{where} must be a whole number, not {value!r}.")
    return value


def _positive(value: object, where: str) -> int:
    number = _count(value, where)
    if number == 0:
        raise SiteError(f"{where} must be at least 1.")
    return number


def _size(value: object, where: str) -> int:
    try:
        return parse_memory(value)  # type: ignore[arg-type]
    except ClusterError as error:
        raise SiteError(f"{where}: {error}") from None


def _system(value: object, where: str) -> str:
    if value not in BATCH_SYSTEMS:
        raise SiteError(f"{where} must be one of {', '.join(BATCH_SYSTEMS)}, not {value!r}.")
    return str(value)


def _ports(value: object, where: str) -> str:
    parts = str(value).split(":")
    if not all(part.isdigit() and int(part) < 65536 for part in parts) or len(parts) > 2:
        raise SiteError(f"{where} must be a port or a range such as '10000:10099', not {value!r}.")
    return str(value)


def _partitions(value: object, where: str) -> dict[str, PartitionRule]:
    if not isinstance(value, Mapping):
        raise SiteError(f"{where} must be a mapping of partition names, not {value!r}.")
    found = {}
    for name, data in value.items():
        inside = f"{where}, partition {name!r}"
        # A partition without defaults may be listed as `name:`, which YAML reads as None.
        if not isinstance(data or {}, Mapping):
            raise SiteError(f"{inside} must be a mapping, not {data!r}.")
        rule = {}
        for key, item in (data or {}).items():
            _check_key(key, _RULE_READERS, inside)
            rule[key] = _RULE_READERS[key](item, f"{inside}, key {key!r}")
        found[str(name)] = PartitionRule(**rule)
    return found


_RULE_READERS: dict[str, Callable[[object, str], Any]] = {
    "memory": _size,
    "cores": _positive,
    "architecture": _text,
}
# Every attribute of `Site` but its name: one that is missing here cannot be set.
_READERS: dict[str, Callable[[object, str], Any]] = {
    **dict.fromkeys(
        ("description", "default_partition", "account", "qos", "gres", "interface"),
        _text,
    ),
    **dict.fromkeys(("hostnames", "paths", "auto_partitions", "job_extra", "prologue"), _texts),
    **dict.fromkeys(("log_directory", "shared_directory"), _text),
    **dict.fromkeys(("worker_ports", "nanny_ports"), _ports),
    "walltime": _walltime,
    "system": _system,
    "partitions": _partitions,
    "scheduler_port": _count,
    "max_workers": _positive,
    "mem_per_worker": _size,
    "cores_per_worker": _positive,
}
