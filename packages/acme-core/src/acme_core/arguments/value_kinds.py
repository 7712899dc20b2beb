"""What a value is to the distribution: a number, a sequence of items, and its size."""

from __future__ import annotations

import itertools
import numbers
import sys
from collections.abc import Sequence
from typing import Any

from acme_core.arguments.h5_arguments import H5_KINDS
from acme_core.arguments.lazy_types import is_array, is_frame, is_h5py, is_series, loaded_types

# Exact types whose size `sys.getsizeof` gives completely.
_SCALARS = frozenset((bool, int, float, complex, str, bytes, type(None)))


def is_real_number(value: Any) -> bool:
    """Whether a value is a real number of Python or NumPy, but no boolean."""
    return isinstance(value, numbers.Real) and not isinstance(
        value, (bool, *loaded_types("numpy", "bool_"))
    )


def is_indexable(value: Any) -> bool:
    """Whether the items of a value can be read by their numbers, in any order and repeatedly."""
    return (
        isinstance(value, Sequence)
        or is_array(value)
        or is_h5py(value, "Dataset")
        or is_series(value)
        or is_frame(value)
    )


def candidate_length(value: Any) -> int | None:
    """Return the length of a value that is distributed by default, else `None`.

    Such values are lists, tuples, ranges, a pandas `Series` or `Index`, and arrays of shape
    ``(n,)``, ``(n, 1)`` or ``(1, n)``.
    """
    if isinstance(value, list | tuple | range) or is_series(value):
        return len(value)
    # A matrix stays two-dimensional when reshaped, so it has no scalar items.
    if is_array(value) and type(value) not in loaded_types("numpy", "matrix"):
        if value.ndim == 1:
            return value.size
        if value.ndim == 2 and 1 in value.shape:
            return value.size
    return None


def memory_size(value: Any, depth: int = 3) -> int:
    """Return the approximate memory of a value in bytes, including its elements' memory."""
    if is_h5py(value, *H5_KINDS):
        return 0  # travels by name
    size = getattr(value, "nbytes", None)
    if isinstance(size, int):
        return size
    if isinstance(value, list | tuple | set | frozenset | dict) and depth:
        items: Any = value.values() if isinstance(value, dict) else value
        # Extrapolated from the first 10 000 elements: this runs in the constructor.
        some = list(itertools.islice(items, 10_000))
        if set(map(type, some)) <= _SCALARS:
            inner = sum(map(sys.getsizeof, some))
        else:
            inner = sum(memory_size(item, depth - 1) for item in some)
        return sys.getsizeof(value) + inner * len(value) // max(1, len(some))
    return sys.getsizeof(value)
