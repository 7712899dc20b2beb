"""Type checks that do not import the library of the type.

A value cannot be an array before NumPy is loaded. These checks need no import, which lets the
client start workers before it imports NumPy (see `ParallelMap.compute`), and makes pandas optional.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeGuard

if TYPE_CHECKING:
    import numpy as np


def loaded_types(module: str, *names: str) -> tuple[type, ...]:
    """Return classes of a module; none if the module is not loaded."""
    loaded = sys.modules.get(module)
    # A module that another thread is importing may not have them all yet.
    return tuple(getattr(loaded, name) for name in names if hasattr(loaded, name))


def is_array(value: Any) -> TypeGuard[np.ndarray[Any, Any]]:
    """Whether a value is a NumPy array."""
    return isinstance(value, loaded_types("numpy", "ndarray"))


def is_series(value: Any) -> bool:
    """Whether a value is a pandas `Series` or `Index`."""
    return isinstance(value, loaded_types("pandas", "Series", "Index"))


def is_frame(value: Any) -> bool:
    """Whether a value is a pandas `DataFrame`."""
    return isinstance(value, loaded_types("pandas", "DataFrame"))


def is_h5py(value: Any, *kinds: str) -> bool:
    """Whether a value is one of h5py's ``kinds`` (class names)."""
    return isinstance(value, loaded_types("h5py", *kinds))
