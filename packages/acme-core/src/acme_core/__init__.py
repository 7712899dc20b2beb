"""Run one Python function for many inputs in parallel, with the results on disk.

=====================  ======================================================================
`ParallelMap`          runs a function once per element of its arguments
`each`, `shared`       mark an argument as distributed among the calls, or shared by all
`cross`                marks arguments whose combinations are the calls
`ComputeError`         is raised if calls fail; it names them and keeps the other results
=====================  ======================================================================

>>> from acme_core import ParallelMap
>>> def f(x, y, z=3):
...     return (x + y) * z
>>> with ParallelMap(f, [2, 4, 6, 8], 4, write_worker_results=False, verbose=False) as pmap:
...     pmap.compute()
[18, 24, 30, 36]
"""

import importlib
import logging
from typing import TYPE_CHECKING, Any

from acme_core.__about__ import __version__

if TYPE_CHECKING:
    from acme_core.arguments.markers import cross, each, shared
    from acme_core.errors import (
        AcmeError,
        ComputeError,
        ModulesChangedError,
        SharedFilesError,
        UnpicklableError,
        WorkerDiedError,
    )
    from acme_core.parallel_map import ParallelMap

__all__ = [
    "AcmeError",
    "ComputeError",
    "ModulesChangedError",
    "ParallelMap",
    "SharedFilesError",
    "UnpicklableError",
    "WorkerDiedError",
    "__version__",
    "cross",
    "each",
    "shared",
]

# Module of each public name that is not in `errors`.
_HOMES = {
    "ParallelMap": "parallel_map",
    "cross": "arguments.markers",
    "each": "arguments.markers",
    "shared": "arguments.markers",
}

# Without a handler, `logging` would print warnings to stderr in programs that configure nothing.
logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    """Import a public name at its first use (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"acme_core.{_HOMES.get(name, 'errors')}")
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted(__all__)
