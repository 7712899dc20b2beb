"""Keeps Python's cyclic garbage collection short while calls run.

A worker holds 60 000 objects of dask and its dependencies, and several times as many with the
libraries of the user's function. Every full collection visits all of them, and a function that
builds many lists and dicts causes several per second: parsing JSON took two and a half times as
long with pandas loaded (1.9 times without). Objects that are *frozen* are not visited.

Short runs are left alone: a collection takes some hundredths of a second.
"""

from __future__ import annotations

import gc

__all__ = ["SETTLED_SECONDS", "clean_up", "settle"]

SETTLED_SECONDS = 2.0
"""Seconds of work after which what a worker has loaded is taken for permanent."""

# Whether this process has frozen objects.
_settled = False


def settle() -> None:
    """Exempt all current objects from garbage collection until `clean_up`."""
    global _settled
    if gc.isenabled():
        # Garbage would be frozen as well, with the arrays that it refers to.
        gc.collect()
        gc.freeze()
        _settled = True


def clean_up() -> None:
    """Collect everything that calls have left behind, while the worker is idle."""
    # A function and the globals that travel with it refer to each other, so only a full collection
    # finds them. What the fork server has frozen is unfrozen, too: its pages are no longer shared
    # (10 MB), which only workers with long runs pay for.
    if _settled:
        gc.unfreeze()
    gc.collect()
    if _settled:
        gc.freeze()
