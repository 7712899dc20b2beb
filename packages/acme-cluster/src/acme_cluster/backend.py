"""The interface for packages that run calls on acme-cluster's workers, such as acme-core.

These names keep their meaning within a major version. Apart from them and the names exported by
`acme_cluster` itself, everything in this package may move at any time. Like `acme_cluster`, this
module loads dask on first use only.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acme_cluster.console.messages import shown
    from acme_cluster.internals.fast_imports import quick_imports
    from acme_cluster.lifetime.cleanup_registry import remove_with
    from acme_cluster.lifetime.clients import close_client, find_client
    from acme_cluster.machine_check import examine
    from acme_cluster.setup.automatic import start_client
    from acme_cluster.slurm.hint import looks_like_slurm
    from acme_cluster.slurm.query import usable as slurm_answers

__all__ = [
    "CLIENT_MODULES",
    "close_client",
    "examine",
    "find_client",
    "looks_like_slurm",
    "quick_imports",
    "remove_with",
    "shown",
    "slurm_answers",
    "start_client",
]

CLIENT_MODULES = ("acme_cluster.setup.local",)
"""Modules that `start_client` needs, for programs that import them early to save time later."""

# Module below `acme_cluster.` and name in it; a name here may differ from the one in the module.
_HOMES = {
    "close_client": ("lifetime.clients", "close_client"),
    "examine": ("machine_check", "examine"),
    "find_client": ("lifetime.clients", "find_client"),
    "looks_like_slurm": ("slurm.hint", "looks_like_slurm"),
    "quick_imports": ("internals.fast_imports", "quick_imports"),
    "remove_with": ("lifetime.cleanup_registry", "remove_with"),
    "shown": ("console.messages", "shown"),
    "slurm_answers": ("slurm.query", "usable"),
    "start_client": ("setup.automatic", "start_client"),
}


def __getattr__(name: str) -> Any:
    """Import the module of a name at its first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    value = getattr(import_module(f"acme_cluster.{module}"), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the names of the interface, whether loaded yet or not."""
    return sorted(__all__)
