"""Run a function many times in parallel, on a laptop or a cluster, with the results on disk.

======================================  ==================================================
`ParallelMap`                           runs a function once per element of its arguments
`each`, `shared`                        mark an argument as distributed, or shared by all
`cross`                                 marks arguments whose combinations are the calls
`ComputeError`                          is raised if calls fail; keeps the other results
`open_results`                          reads the results of a run from disk, call by call
`local_cluster_setup`                   starts workers on this machine
`slurm_cluster_setup`                   starts workers as jobs of a SLURM cluster
`esi_cluster_setup`                     … of the cluster of the ESI in Frankfurt
`cluster_cleanup`                       stops workers
======================================  ==================================================

Four calls of a function, with the results collected in memory (by default they go to disk):

>>> from acme import ParallelMap
>>> def f(x, y, z=3):
...     return (x + y) * z
>>> with ParallelMap(f, [2, 4, 6, 8], 4, write_worker_results=False) as pmap:
...     results = pmap.compute()
>>> results
[18, 24, 30, 36]

The names come from three packages: `acme_core` runs the calls, `acme_cluster` starts and stops
workers, `acme_io` writes and reads the files. Each name is loaded at its first use, which keeps
`import acme` fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from acme.__about__ import __version__

# Type checkers and editors do not run `__getattr__`; they read these imports.
if TYPE_CHECKING:
    from acme_cluster import (
        cluster_cleanup,
        esi_cluster_setup,
        local_cluster_setup,
        slurm_cluster_setup,
    )
    from acme_core import ComputeError, ParallelMap, cross, each, shared
    from acme_io import open_results

__all__ = [
    "ComputeError",
    "ParallelMap",
    "__version__",
    "cluster_cleanup",
    "cross",
    "each",
    "esi_cluster_setup",
    "local_cluster_setup",
    "open_results",
    "shared",
    "slurm_cluster_setup",
]

# Public name -> its package. Importing `acme` alone loads neither NumPy, h5py nor dask, which takes
# half a second; a test checks this.
_HOME = {
    "ComputeError": "acme_core",
    "ParallelMap": "acme_core",
    "cluster_cleanup": "acme_cluster",
    "cross": "acme_core",
    "each": "acme_core",
    "esi_cluster_setup": "acme_cluster",
    "local_cluster_setup": "acme_cluster",
    "open_results": "acme_io",
    "shared": "acme_core",
    "slurm_cluster_setup": "acme_cluster",
}


def __getattr__(name: str) -> object:
    """Load a public name from the package that defines it (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_HOME[name]), name)
    # Stored: the next lookup does not call this function.
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
