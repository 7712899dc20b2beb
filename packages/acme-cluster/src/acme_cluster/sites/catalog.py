"""The known sites, and the choice of one for this machine.

A site is a mapping in a YAML file. Shipped ones lie beside this module; a user adds others, or
changes shipped ones, in dask's configuration, for example in `~/.config/dask/acme.yaml`::

    acme:
      sites:
        institute:
          hostnames: ["login*.institute.example"]
          partitions:
            short: {memory: 16GB}
          account: physics

Keys of a site with the name of a shipped one replace the shipped keys one by one.
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

# Memory of a partition over the largest measured peak. At most five calls are measured: the quarter
# on top is for the others.
MARGIN = 1.25


def load_sites() -> dict[str, Site]:
    """Return all sites, shipped and from dask's configuration.

    Returns
    -------
    dict of str to Site
        By name, the user's own first: the first that matches a machine is its site.

    Raises
    ------
    SiteError
        A site of the configuration has a wrong key or value.
    """
    import dask
    import yaml

    # Read anew each time, which takes 2 ms: the configuration may change within a session.
    shipped: dict[str, dict[str, Any]] = {}
    for file in sorted(resources.files("acme_cluster.sites").iterdir(), key=lambda item: item.name):
        if file.name.endswith(".yaml"):
            shipped |= yaml.safe_load(file.read_text(encoding="utf-8"))
    configured = dask.config.get("acme.sites", None) or {}
    if not isinstance(configured, Mapping):
        raise SiteError(f"The configuration 'acme.sites' must be a mapping, not {configured!r}.")
    # dask's own lookup treats `-` and `_` as equal, but only in keys that it looks up itself.
    own = {str(name): _underscored(data) for name, data in configured.items()}
    # A value that is not a mapping is passed on as it is: `read_site` has the message for it.
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
    """Return a site by name.

    Parameters
    ----------
    name : str
        Key of the site.

    Returns
    -------
    Site
        Shipped or from the configuration.

    Raises
    ------
    ValueError
        No site has this name; the message lists the known ones.
    """
    sites = load_sites()
    if name not in sites:
        raise ArgumentValueError(
            f"There is no site {name!r}; known sites: {', '.join(sites)}. Describe yours in dask's "
            "configuration, for example in ~/.config/dask/acme.yaml, under the key acme.sites."
        )
    return sites[name]


def detect_site() -> Site | None:
    """Return the site that this machine belongs to.

    Returns
    -------
    Site or None
        The first site whose host names and paths match; None if none does.
    """
    return next((site for site in load_sites().values() if site.here()), None)


def generic_site() -> Site:
    """Return the site of an unknown SLURM cluster.

    Returns
    -------
    Site
        A site with all defaults: partitions and limits come from SLURM.
    """
    return Site(name="slurm", description="a SLURM cluster")


def choose_partition(site: Site, peak_bytes: int, architecture: str | None = None) -> str | None:
    """Return the smallest partition with enough memory for a measured peak.

    Parameters
    ----------
    site : Site
        The site, with its `auto_partitions`.
    peak_bytes : int
        Largest measured memory of a call, in bytes.
    architecture : str, optional
        Machine type that the nodes must have; by default that of this machine.

    Returns
    -------
    str or None
        The partition with the least memory of at least 1.25 times the peak; of equal ones, the
        first in the site's list. None if the site lists no partition for this machine type.

    Raises
    ------
    ValueError
        No partition is large enough.

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
            f"{format_memory(sizes[largest])}. Pass partition and mem_per_worker yourself, "
            "or give each call less data."
        )
    # `min` returns the first of equals, as documented.
    return min(enough, key=lambda name: enough[name])


def changed(site: Site, **values: Any) -> Site:
    """Return a site with some attributes replaced.

    Parameters
    ----------
    site : Site
        The original.
    **values
        New values; None keeps the original value.

    Returns
    -------
    Site
        A new site.
    """
    return dataclasses.replace(site, **{k: v for k, v in values.items() if v is not None})
