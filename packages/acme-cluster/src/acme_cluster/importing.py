"""Imports of large packages in less time."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from typing import Any

__all__ = ["quick_imports", "quick_yaml"]


@contextlib.contextmanager
def quick_imports() -> Iterator[None]:
    """Save a quarter of the time that importing distributed takes.

    Such imports make many objects and no garbage, so nothing is collected meanwhile, and what they
    made counts as old afterwards: the next collections do not go through it one after the other
    (60 ms). And dask reads its default settings with the parser of PyYAML that is written in
    Python, although the one written in C comes with it and gives the same ten times as fast
    (45 ms).
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        with quick_yaml():
            yield
    finally:
        if collecting:
            _age()
            gc.enable()


def _age() -> None:
    """Let all objects count as old, unless the program has a use of its own for freezing."""
    if gc.get_freeze_count() == 0:
        gc.freeze()
        gc.unfreeze()


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
