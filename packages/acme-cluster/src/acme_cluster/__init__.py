"""Dask workers on one machine or on a batch system: started quickly, encrypted, gone at the end.

>>> from acme_cluster import cluster_cleanup, local_cluster_setup
>>> client = local_cluster_setup()        # or slurm_cluster_setup(...), esi_cluster_setup(...)
>>> client.submit(pow, 2, 10).result()
1024
>>> cluster_cleanup(client)

The setup functions return a `distributed.Client`. `import acme_cluster` does not import dask, the
first use of one of its names does. `warm_up()` before that first use saves half a second.
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

# The module of each name, below `acme_cluster.`. The imports above are for type checkers and
# editors.
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

# Modules that import neither dask nor anything else that `quick_imports` would speed up.
_LIGHT = frozenset({"lifetime.clients", "internals.fork_server", "setup.cleanup", "sizes"})

# Without a handler Python prints warnings of a library to standard error by itself ("last resort").
logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    """Import the module of a public name at its first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(_load(_HOMES[name]), name)
    # From now on the name is found without this function.
    globals()[name] = value
    return value


def _load(module: str) -> Any:
    # `quick_imports` speeds up the import of dask; afterwards there is nothing for it to do.
    if "distributed" in sys.modules or module in _LIGHT:
        return importlib.import_module(f"acme_cluster.{module}")
    with quick_imports():
        return importlib.import_module(f"acme_cluster.{module}")


def __dir__() -> list[str]:
    """Return the public names, whether loaded yet or not."""
    return sorted(__all__)
