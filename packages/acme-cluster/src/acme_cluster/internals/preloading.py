"""What the fork server has imported before it makes the first worker."""

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
    """Return the modules that installed packages want their workers to have imported.

    Returns
    -------
    list of str
        What is registered under the entry point group `acme_cluster.preload`.
    """
    from importlib.metadata import entry_points

    return [entry.value for entry in entry_points(group="acme_cluster.preload")]


def preload(names: Sequence[str]) -> None:
    """Import modules, and prepare what workers would do each for themselves.

    Parameters
    ----------
    names : sequence of str
        The modules; what cannot be imported here is left to the workers.
    """
    import gc

    with quick_imports():
        with not_installed("jinja2"):
            # With it dask draws tables for notebooks, which no worker does: a tenth of its import.
            _fill_caches()
        _import_each(names)
        # What is here stays: collections in workers need not touch, and thereby copy, these pages.
        gc.freeze()


def import_registered() -> None:
    """Import what is registered for workers, which the process that starts them needs as well.

    While it waits for them it has nothing else to do, and the first use is quicker.
    """
    _import_each(registered())


def _import_each(names: Sequence[str]) -> None:
    import importlib

    for name in names:
        # A package of somebody else's may fail in any way; whoever needs it is told when using it.
        try:
            importlib.import_module(name)
        except Exception as error:
            _note_failure(f"import {name}", error)


def _fill_caches() -> None:
    # Each worker tells the scheduler the versions of its packages, and finds them in a slow way.
    try:
        from distributed.versions import get_versions

        get_versions()
    except Exception as error:
        _note_failure("look up versions", error)


def _note_failure(what: str, error: Exception) -> None:
    import logging

    logging.getLogger(__name__).debug("<acme_cluster> DEBUG: Could not %s: %r", what, error)
