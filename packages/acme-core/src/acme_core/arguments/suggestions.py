"""How to distribute arguments that are not distributed by themselves, for an error message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from acme_core.arguments.lazy_types import is_array
from acme_core.arguments.markers import Marked
from acme_core.arguments.value_kinds import is_indexable


def suggestions(arguments: Mapping[str, Any]) -> list[str]:
    """Return a line for each argument: its type, its length, and the way to distribute it.

    Parameters
    ----------
    arguments : mapping
        Arguments by parameter name, of which none is distributed.
    """
    return [f"`{name}`: {_line(name, value)}" for name, value in arguments.items()]


def _line(name: str, value: Any) -> str:
    if isinstance(value, Marked):
        return f"{_kind(value.value)}, given to every call by shared(...)"
    kind, way = _kind(value), _way(name, value)
    return f"{kind}; {way}" if way else kind


def _kind(value: Any) -> str:
    kind = type(value).__name__
    # Objects of any class: their attributes may raise, and closed HDF5 objects do.
    try:
        shape = getattr(value, "shape", None)
        if isinstance(shape, tuple):
            return f"{kind} of shape {shape}"
        return f"{kind} of length {len(value)}"
    except Exception:
        return kind


def _way(name: str, value: Any) -> str:
    """Return the way to distribute a value, empty if it has no items."""
    if isinstance(value, Mapping):
        return f"list({name}.items()) gives each call a key and its value"
    if isinstance(value, set | frozenset):
        return f"sorted({name}) gives each call one element"
    try:
        if getattr(value, "shape", None) == ():
            return ""
        # An array of a library that has its own class for them, such as a tensor.
        if hasattr(value, "tolist") and not (is_array(value) or is_indexable(value)):
            return f"{name}.tolist() gives each call one item"
        if not isinstance(value, Sequence):
            if not is_indexable(value) and not hasattr(type(value), "__iter__"):
                return ""
            n_dimensions = len(getattr(value, "shape", ()))
            item = "row" if n_dimensions > 1 else "item"
            return f"each({name}) gives each call one {item}"
    except Exception:
        return ""
    item = "character" if isinstance(value, str) else "item"
    return f"each({name}) gives each call one {item}"
