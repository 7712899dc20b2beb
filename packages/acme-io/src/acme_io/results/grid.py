"""The grid of a run, and selections by the values of its arguments."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from acme_io.records.argument_values import argument_value
from acme_io.records.call_record import MISSING
from acme_io.records.grid import Grid
from acme_io.results.selection import Calls, numbers_of
from acme_io.runs.reading import RunReader

__all__ = ["complete", "grid_on_record", "select_by_arguments", "select_in_grid"]

Array = np.ndarray[Any, Any]

# Relative difference up to which numbers count as equal: 0.3 selects `0.1 + 0.2`.
_CLOSE = 1e-9


def grid_on_record(reader: RunReader) -> Grid | None:
    """Return the grid on record; the values of its long axes may be unknown."""
    grid = reader.source.run.grid
    return grid if grid is not None and math.prod(grid.shape) == len(reader.source.table) else None


def complete(reader: RunReader, grid: Grid) -> Grid:
    """Return the grid of a run with the values of all axes, as far as calls have them on record."""
    return Grid(
        grid.names,
        tuple(
            _from_calls(reader, grid, axis) if all(v is None for v in values) else values
            for axis, values in enumerate(grid.values)
        ),
    )


def _from_calls(reader: RunReader, grid: Grid, axis: int) -> Any:
    """Return the values of an axis from the arguments of one call for each, `None` if unknown."""
    known = np.flatnonzero(reader.status != MISSING)
    places, first = np.unique(np.unravel_index(known, grid.shape)[axis], return_index=True)
    values: list[Any] = [None] * grid.shape[axis]
    read = reader.arguments(known[first])
    for place, arguments in zip(places.tolist(), read, strict=True):
        values[place] = argument_value(arguments.get(grid.names[axis]))
    kinds = set(map(type, values))
    numbers = len(kinds) == 1 and issubclass(kinds.pop(), np.generic)
    return np.array(values) if numbers else values


def select_in_grid(calls: Calls, grid: Grid, labels: Mapping[str, Any]) -> tuple[Calls, Grid]:
    """Select calls by the values of axes.

    Parameters
    ----------
    calls : range or numpy.ndarray of int64
        The calls of the grid, the last axis varying fastest.
    grid : Grid
        Their axes.
    labels : mapping of str to object
        As in `Results.sel`.

    Returns
    -------
    calls : numpy.ndarray of int64
        The selected calls, in the order of the grid.
    grid : Grid
        Their axes, without those for which one value was selected.

    Raises
    ------
    KeyError
        No axis has this name, or no value equals a label.
    """
    for name in labels:
        if name not in grid.names:
            raise KeyError(f"{name!r} is no axis of the grid, which has {_listed(grid.names)}.")
    chosen = [
        _positions(name, values, labels[name]) if name in labels else range(len(values))
        for name, values in zip(grid.names, grid.values, strict=True)
    ]
    numbers = numbers_of(calls).reshape(grid.shape)[np.ix_(*chosen)].ravel()
    kept = [
        (name, _taken(values, at))
        for name, values, at in zip(grid.names, grid.values, chosen, strict=True)
        # As in xarray, one label removes its dimension, unless several values equal it.
        if name not in labels or _is_several(labels[name]) or len(at) != 1
    ]
    return numbers, Grid(tuple(name for name, _ in kept), tuple(values for _, values in kept))


def select_by_arguments(
    calls: Calls, arguments: Sequence[Mapping[str, Any]], labels: Mapping[str, Any]
) -> Calls:
    """Select calls by their distributed arguments on record; see `Results.sel`."""
    known = {name for one in arguments for name in one}
    found = np.ones(len(calls), bool)
    for name, label in labels.items():
        if name not in known:
            raise KeyError(f"{name!r} is no distributed argument; these are {_listed(known)}.")
        values = [argument_value(one.get(name)) for one in arguments]
        chosen = np.zeros(len(calls), bool)
        chosen[_positions(name, values, label)] = True
        found &= chosen
    return numbers_of(calls)[found]


def _is_several(label: Any) -> bool:
    if isinstance(label, slice):
        return True
    return (
        isinstance(label, Iterable)
        and not isinstance(label, str | bytes)
        and getattr(label, "ndim", 1) > 0
    )


def _positions(name: str, values: Any, label: Any) -> list[int]:
    """Return the positions of the values that a label selects."""
    if isinstance(label, slice):
        return [at for at, value in enumerate(values) if _within(value, label)]
    if not _is_several(label):
        return _equal(name, values, label)
    return [at for one in label for at in _equal(name, values, one)]


def _within(value: Any, label: slice) -> bool:
    """Whether a value lies between two others, ends included, as with labels of pandas."""
    if label.step is not None:
        raise ValueError("A slice of values has no step.")
    try:
        above = label.start is None or value >= label.start
        return bool(above and (label.stop is None or value <= label.stop))
    except TypeError:  # a text in a range of numbers, a call without a record
        return False


def _equal(name: str, values: Any, label: Any) -> list[int]:
    if isinstance(values, np.ndarray) and values.dtype.kind in "mM":
        label = np.asarray(label, values.dtype)  # dates as text
    found = [at for at, value in enumerate(values) if _same(value, label)]
    if not found:
        raise KeyError(f"{name!r} is never {label!r}; its values are {_listed(values)}.")
    return found


def _same(value: Any, label: Any) -> bool:
    # Differences of Python numbers neither wrap around nor warn.
    mine, other = (one.item() if isinstance(one, np.number) else one for one in (value, label))
    if mine == other or (mine != mine and other != other):
        return True
    close = _CLOSE
    if isinstance(value, np.inexact):
        # A label in double precision is rarely a number of an axis in single precision.
        dtype: Any = value.dtype
        close = max(close, 2 * float(np.finfo(dtype).eps))
    try:
        return bool(abs(mine - other) <= close * abs(other) < math.inf)
    except (TypeError, ValueError, OverflowError):  # not two numbers, or too large for a float
        return False


def _listed(values: Any) -> str:
    texts = [str(value) for value in list(values)[:10]]
    return ", ".join(texts) + (f" … ({len(values)})" if len(values) > 10 else "")


def _taken(values: Any, at: Sequence[int]) -> Any:
    return values[at] if isinstance(values, np.ndarray) else [values[one] for one in at]
