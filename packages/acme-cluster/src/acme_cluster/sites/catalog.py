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
import platform
from collections.abc import Mapping
from importlib import resources
from typing import Any

from acme_cluster.errors import ArgumentValueError, SiteError
from acme_cluster.sites.model import PartitionRule, Site
from acme_cluster.sites.schema import read_site
from acme_cluster.sizes import format_memory

__all__ = [
    "PartitionRule",
    "Site",
    "changed",
    "choose_partition",
    "detect_site",
    "generic_site",
    "load_sites",
    "read_site",
    "site_named",
]

# What a partition has to have above the largest measured memory: a quarter, for calls that were not
# measured.
MARGIN = 1.25


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
    for file in sorted(resources.files("acme_cluster.sites").iterdir(), key=lambda item: item.name):
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
