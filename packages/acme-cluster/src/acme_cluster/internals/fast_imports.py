"""Imports of large packages in less time."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Iterator
from typing import Any

__all__ = ["not_installed", "quick_imports", "quick_yaml"]

# How long an idle thread of OpenBLAS goes on asking for work before it sleeps, as the binary
# logarithm of clock cycles. By itself it does so for more than 100 ms.
_OPENBLAS_PATIENCE = "OPENBLAS_THREAD_TIMEOUT"
_TWO_MILLISECONDS = "22"


@contextlib.contextmanager
def quick_imports() -> Iterator[None]:
    """Save a quarter of the time that importing distributed takes, more on two cores.

    Such imports make many objects and no garbage, so nothing is collected meanwhile, and what they
    made counts as old afterwards: the next collections do not go through it one after the other
    (60 ms). And dask reads its default settings with the parser of PyYAML that is written in
    Python, although the one written in C comes with it and gives the same ten times as fast
    (45 ms). And the threads that OpenBLAS makes when NumPy is imported first of all keep another
    core busy, on which the workers are about to start.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        with quick_yaml(), _impatient_openblas():
            yield
    finally:
        if collecting:
            _age()
            gc.enable()


@contextlib.contextmanager
def _impatient_openblas() -> Iterator[None]:
    """Let OpenBLAS, if it is loaded meanwhile, have threads that sleep soon when they are idle."""
    # It reads this once. Later, workers may just be getting a copy of the environment.
    if "numpy" in sys.modules or _OPENBLAS_PATIENCE in os.environ:
        yield
        return
    os.environ[_OPENBLAS_PATIENCE] = _TWO_MILLISECONDS
    try:
        yield
    finally:
        os.environ.pop(_OPENBLAS_PATIENCE, None)


def _age() -> None:
    """Let all objects count as old, unless the program has a use of its own for freezing."""
    if gc.get_freeze_count() == 0:
        gc.freeze()
        gc.unfreeze()


@contextlib.contextmanager
def not_installed(package: str) -> Iterator[None]:
    """Let imports of an optional package fail meanwhile, as if it were not installed.

    Parameters
    ----------
    package : str
        Its name; nothing changes if it is imported already.
    """
    modules: dict[str, Any] = sys.modules
    if package in modules:
        yield
        return
    modules[package] = None
    try:
        yield
    finally:
        modules.pop(package, None)


@contextlib.contextmanager
def quick_yaml() -> Iterator[None]:
    """Let `yaml.safe_load` use the parser that is written in C."""
    import yaml

    module: Any = yaml
    plain = module.SafeLoader
    module.SafeLoader = getattr(module, "CSafeLoader", plain)
    try:
        yield
    finally:
        module.SafeLoader = plain
