"""The parts of what calls returned, under the names of their columns: scalars, arrays, texts."""

import datetime
import numbers
from collections.abc import Iterator
from typing import Any

import numpy as np

__all__ = ["is_scalar", "leaves_in", "named_values", "scalars_in"]

_SCALARS = (
    str,
    bytes,
    numbers.Number,
    np.generic,
    datetime.date,
    datetime.time,
    datetime.timedelta,
    type(None),
)
# Levels of dicts that become columns; one that contains itself, as pickles may, has no end.
_DEEPEST = 8


def named_values(value: object) -> Iterator[tuple[str, object]]:
    """Yield each of the return values of a call, with the name of its column.

    Parameters
    ----------
    value : object
        What the call returned: a tuple is several values, anything else is one.
    """
    if not isinstance(value, tuple):
        yield "result_0", value
        return
    names = getattr(value, "_fields", None) or [f"result_{at}" for at in range(len(value))]
    yield from zip(names, value, strict=True)


def leaves_in(value: object) -> Iterator[tuple[str, object]]:
    """Yield the parts of what a call returned, with the names of their columns.

    The names are `result_0`, `result_1` and so on, the fields of a named tuple, or the keys of a
    dict. A dict within another value has the name of that value in front of its keys:
    `result_1.key`.
    """
    if isinstance(value, dict):
        yield from _in_dict(value, "", 0)
        return
    for name, one in named_values(value):
        if isinstance(one, dict):
            yield from _in_dict(one, f"{name}.", 0)
        else:
            yield name, one


def _in_dict(value: dict[Any, Any], prefix: str, depth: int) -> Iterator[tuple[str, object]]:
    for key, one in value.items():
        if not isinstance(one, dict):
            yield f"{prefix}{key}", one
        elif depth < _DEEPEST:
            yield from _in_dict(one, f"{prefix}{key}.", depth + 1)


def scalars_in(value: object) -> Iterator[tuple[str, object]]:
    """Yield those of `leaves_in` that are scalars."""
    for name, one in leaves_in(value):
        if is_scalar(one):
            # A 0-d array would be no element of a column, but an array in it.
            yield name, one[()] if isinstance(one, np.ndarray) else one


def is_scalar(value: object) -> bool:
    """Whether a value is one number, text or time, or `None`."""
    if isinstance(value, np.ndarray):
        plain = not isinstance(value, np.ma.MaskedArray) and value.dtype.names is None
        return plain and value.ndim == 0
    return isinstance(value, _SCALARS) and not isinstance(value, np.void)
