"""Dask workers on one machine or on a batch system: quick, encrypted, and gone at the end.

>>> from acme_cluster import cluster_cleanup, local_cluster_setup
>>> client = local_cluster_setup()        # or slurm_cluster_setup(...), esi_cluster_setup(...)
>>> client.submit(pow, 2, 10).result()
1024
>>> cluster_cleanup(client)

The setup functions return a `distributed.Client`. Importing this package imports nothing of dask;
that happens with the first use. `warm_up()` before that first use saves half a second.
"""

from __future__ import annotations

import importlib
import logging
import sys
from typing import TYPE_CHECKING, Any

from acme_cluster.__about__ import __version__
from acme_cluster.internals.fast_imports import quick_imports

if TYPE_CHECKING:
    from acme_cluster.internals.fork_server import warm_up
    from acme_cluster.lifetime.clients import current_client
    from acme_cluster.setup.automatic import start_client
    from acme_cluster.setup.cleanup import cluster_cleanup, cool_down
    from acme_cluster.setup.local import local_cluster_setup
    from acme_cluster.setup.slurm import (
        cluster_setup,
        esi_cluster_setup,
        slurm_cluster_setup,
        slurm_job_script,
    )
    from acme_cluster.sites.catalog import choose_partition, detect_site, load_sites
    from acme_cluster.sizes import format_memory, parse_memory

__all__ = [
    "__version__",
    "choose_partition",
    "cluster_cleanup",
    "cluster_setup",
    "cool_down",
    "current_client",
    "detect_site",
    "esi_cluster_setup",
    "format_memory",
    "load_sites",
    "local_cluster_setup",
    "parse_memory",
    "slurm_cluster_setup",
    "slurm_job_script",
    "start_client",
    "warm_up",
]

_HOMES = {
    "choose_partition": "sites.catalog",
    "cluster_cleanup": "setup.cleanup",
    "cluster_setup": "setup.slurm",
    "cool_down": "setup.cleanup",
    "current_client": "lifetime.clients",
    "detect_site": "sites.catalog",
    "esi_cluster_setup": "setup.slurm",
    "format_memory": "sizes",
    "load_sites": "sites.catalog",
    "local_cluster_setup": "setup.local",
    "parse_memory": "sizes",
    "slurm_cluster_setup": "setup.slurm",
    "slurm_job_script": "setup.slurm",
    "start_client": "setup.automatic",
    "warm_up": "internals.fork_server",
}

# These import neither dask nor anything else for which `quick_imports` would pay.
_LIGHT = frozenset({"lifetime.clients", "internals.fork_server", "setup.cleanup", "sizes"})

logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    """Import what is used, when it is used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(_load(_HOMES[name]), name)
    globals()[name] = value
    return value


def _load(module: str) -> Any:
    if "distributed" in sys.modules or module in _LIGHT:
        return importlib.import_module(f"acme_cluster.{module}")
    with quick_imports():
        return importlib.import_module(f"acme_cluster.{module}")


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted(__all__)
