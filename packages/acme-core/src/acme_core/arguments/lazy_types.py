"""What a value is, asked without importing the library that it would be of.

A value cannot be an array before NumPy is loaded. Who asks this way need not wait for the import,
so that the workers can do it at the same time (see `ParallelMap.compute`).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeGuard

if TYPE_CHECKING:
    import numpy as np


def loaded_types(module: str, *names: str) -> tuple[type, ...]:
    """Classes of a module, none if nobody has imported it."""
    loaded = sys.modules.get(module)
    return () if loaded is None else tuple(getattr(loaded, name) for name in names)


def is_array(value: Any) -> TypeGuard[np.ndarray[Any, Any]]:
    """Whether a value is a NumPy array."""
    return isinstance(value, loaded_types("numpy", "ndarray"))


def is_h5py(value: Any, *kinds: str) -> bool:
    """Whether a value is one of h5py's ``kinds`` (class names)."""
    return isinstance(value, loaded_types("h5py", *kinds))
