"""Faster imports of large packages."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Iterator
from typing import Any

__all__ = ["not_installed", "quick_imports", "quick_yaml"]

# How long an idle OpenBLAS thread polls for work before it sleeps, as the binary logarithm of clock
# cycles. Its default (2**28 in OpenBLAS 0.3) is more than 100 ms; 2**22 is about 2 ms.
_OPENBLAS_PATIENCE = "OPENBLAS_THREAD_TIMEOUT"
_TWO_MILLISECONDS = "22"


@contextlib.contextmanager
def quick_imports() -> Iterator[None]:
    """Import distributed in three quarters of the time, and less on two cores.

    - Imports create many objects and no garbage: the collector pauses, and afterwards the new
      objects count as old, so that later collections do not visit them (60 ms).
    - dask parses its default settings with PyYAML's pure-Python parser; the C parser in the same
      package gives the same result ten times as fast (45 ms).
    - When NumPy is first imported, OpenBLAS starts threads that poll for work and keep busy the
      core on which workers are about to start. They sleep sooner.
    """
    collecting = gc.isenabled()
    known = len(sys.modules)
    gc.disable()
    try:
        with quick_yaml(), _impatient_openblas():
            yield
    finally:
        if collecting:
            # Only after imports. Objects that are made old each time, without need, include the
            # garbage of the program, and the counters start again: no full collection ever comes.
            if len(sys.modules) != known:
                _age()
            gc.enable()


@contextlib.contextmanager
def _impatient_openblas() -> Iterator[None]:
    """Make idle threads of OpenBLAS, if it is loaded inside, sleep soon."""
    # OpenBLAS reads the variable once, when it is loaded. It is removed again because workers
    # inherit the environment.
    if "numpy" in sys.modules or _OPENBLAS_PATIENCE in os.environ:
        yield
        return
    os.environ[_OPENBLAS_PATIENCE] = _TWO_MILLISECONDS
    try:
        yield
    finally:
        os.environ.pop(_OPENBLAS_PATIENCE, None)


def _age() -> None:
    """Move all objects to the oldest generation, unless the program uses `gc.freeze` itself."""
    if gc.get_freeze_count() == 0:
        gc.freeze()
        gc.unfreeze()


@contextlib.contextmanager
def not_installed(package: str) -> Iterator[None]:
    """Make imports of an optional package fail inside, as if it were not installed.

    Parameters
    ----------
    package : str
        Name of the package; nothing changes if it is already imported.
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
    """Make `yaml.safe_load` use the C parser."""
    import yaml

    module: Any = yaml
    plain = module.SafeLoader
    module.SafeLoader = getattr(module, "CSafeLoader", plain)
    try:
        yield
    finally:
        module.SafeLoader = plain
