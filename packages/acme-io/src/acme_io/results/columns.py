"""Values of many calls as one column: an array, and which of its elements are known."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Column", "column_of"]

Array = np.ndarray[Any, Any]

# Floats hold all integers up to here; beyond, a column with gaps keeps Python's integers.
_EXACT = 2**53

_INTEGERS = (int, np.integer)


@dataclass(frozen=True, eq=False)
class Column:
    """One column of a table.

    Attributes
    ----------
    name : str
        Its name.
    values : numpy.ndarray, shape (n_calls,)
        Its values; of dtype object for texts and for values of several types.
    known : numpy.ndarray of bool, shape (n_calls,)
        False for calls that have no such value; those of `values` are arbitrary.
    """

    name: str
    values: Array
    known: Array

    def filled(self) -> Array:
        """Return the values, with NaN, NaT or `None` for unknown ones.

        Integers and bools have none of these: with gaps, integers become floats where these are
        exact, or else objects, as bools do.
        """
        return fill(self.values, self.known)


def fill(values: Array, known: Array) -> Array:
    """Return values with NaN, NaT or `None` in the rows that are not known; see `Column.filled`."""
    if known.all():
        return values
    kind = values.dtype.kind
    if kind in "iu" and not (np.abs(values[known].astype(float)) > _EXACT).any():
        filled = values.astype(float)
    else:
        filled = values.copy() if kind in "fcmM" else values.astype(object)
    blank = {"f": np.nan, "i": np.nan, "u": np.nan, "c": np.nan, "m": "NaT", "M": "NaT"}
    filled[~known] = None if filled.dtype == object else blank[kind]
    return filled


def column_of(name: str, values: Sequence[Any], known: Any = None) -> Column:
    """Return a column of Python values.

    Parameters
    ----------
    name : str
        Name of the column.
    values : sequence
        One value per call; `None` counts as unknown.
    known : array of bool, optional
        False for placeholders of calls that have no value.
    """
    seen = np.array([value is not None for value in values], bool)
    if known is not None:
        seen &= known
    present = values if seen.all() else [v for v, there in zip(values, seen, strict=True) if there]
    array = _array(present)
    if len(present) != len(values):
        whole = np.zeros(len(values), array.dtype) if array.dtype != object else _nones(len(values))
        whole[seen] = array
        array = whole
    return Column(name, array, seen)


def _array(values: Sequence[Any]) -> Array:
    """Return an array that holds all values exactly: of a dtype if all are of one family."""
    kinds = set(map(type, values))
    # A function may return 0.0 in one case and a float of NumPy in the others: one family.
    families = set(map(_family, kinds))
    if len(families) != 1 or families == {"other"}:
        return _objects(values)
    try:
        array = np.array(values)
    except OverflowError:  # in some versions of NumPy, integers of more than 64 bits
        return _objects(values)
    if array.dtype.kind in "fc" and any(issubclass(kind, _INTEGERS) for kind in kinds):
        integers = (int(value) for value in values if isinstance(value, _INTEGERS))
        if any(abs(value) > _EXACT for value in integers):
            return _objects(values)
    return array


def _family(kind: type) -> str:
    # Bools are integers to Python, time differences are to NumPy.
    families = {
        "bool": (bool, np.bool_),
        "difference": (np.timedelta64,),
        "time": (np.datetime64,),
        "number": (int, float, complex, np.number),
    }
    return next((name for name, kinds in families.items() if issubclass(kind, kinds)), "other")


def _objects(values: Sequence[Any]) -> Array:
    array = _nones(len(values))
    array[:] = values
    return array


def _nones(length: int) -> Array:
    return np.full(length, None, object)
