"""The imports that the fork server makes before it forks the first worker."""

from __future__ import annotations

from collections.abc import Sequence

from acme_cluster.internals.fast_imports import not_installed, quick_imports

__all__ = ["PRELOAD", "import_registered", "preload", "registered"]

PRELOAD = (
    "numpy.random",
    "distributed",
    "acme_cluster.internals.nanny",
    "tornado.platform.asyncio",
    "multiprocessing.popen_forkserver",
    "h5py",
)


def registered() -> list[str]:
    """Return the modules that installed packages register for import in workers.

    Returns
    -------
    list of str
        The values of the entry point group `acme_cluster.preload`.
    """
    from importlib.metadata import entry_points

    return [entry.value for entry in entry_points(group="acme_cluster.preload")]


def preload(names: Sequence[str]) -> None:
    """Import modules, and do once the work that each worker would do for itself.

    Parameters
    ----------
    names : sequence of str
        The modules; those that cannot be imported here are left to the workers.
    """
    import gc

    with quick_imports():
        with not_installed("jinja2"):
            # dask renders tables for notebooks with it, which no worker does. It takes a tenth of
            # the import time of dask (18 of 400 ms).
            _fill_caches()
        _import_each(names)
        # Frozen objects are skipped by collections in the workers, which would otherwise write to
        # their headers and thereby copy the shared pages.
        gc.freeze()


def import_registered() -> None:
    """Import the registered modules in this process, while it waits for its workers anyway."""
    _import_each(registered())


def _import_each(names: Sequence[str]) -> None:
    import importlib

    for name in names:
        # Importing a third-party package may fail in any way; its user sees the error at first use.
        try:
            importlib.import_module(name)
        except Exception as error:
            _note_failure(f"import {name}", error)


def _fill_caches() -> None:
    # Each worker reports the versions of its packages to the scheduler; looking them up takes 10 ms
    # and more, and the result is cached in distributed.versions.
    try:
        from distributed.versions import get_versions

        get_versions()
    except Exception as error:
        _note_failure("look up versions", error)


def _note_failure(what: str, error: Exception) -> None:
    import logging

    logging.getLogger(__name__).debug("<acme_cluster> DEBUG: Could not %s: %r", what, error)
