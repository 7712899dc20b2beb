"""Select calls by position: a call, a slice, a list or an array of positions, a mask."""

import operator
from typing import Any, TypeAlias

import numpy as np

__all__ = ["Calls", "numbers_of", "select"]

Array = np.ndarray[Any, Any]

# A range, where possible: it takes no memory, and consecutive calls are read in one go.
Calls: TypeAlias = range | Array
"""Numbers of calls, in the order of a selection."""


def numbers_of(calls: Calls) -> Array:
    """Return the numbers of calls as an array."""
    # NumPy makes an array of a range by iterating over it.
    if isinstance(calls, range):
        return np.arange(calls.start, calls.stop, calls.step)
    return calls


def select(calls: Calls, index: Any) -> int | Calls:
    """Return the number of one call, or the numbers of several.

    Parameters
    ----------
    calls : range or numpy.ndarray of int64
        The calls to select from.
    index : int, slice, sequence of int or bool, or array of these
        Positions among `calls`, from 0 or, if negative, from the end; or a mask, with one truth
        value per call.

    Raises
    ------
    IndexError
        A position is outside, or a mask has another length.
    TypeError
        The index is of another type.
    """
    if isinstance(index, slice):
        return calls[index]
    array = None if isinstance(index, str | bytes | tuple) else _positions(index)
    if array is not None and array.ndim == 1:
        return numbers_of(calls)[_checked(array, len(calls))]
    try:
        # One truth value is no mask of one call: `results[results.status == "done"]` compares a
        # list with a text, and its False would be call 0.
        if isinstance(index, bool | np.bool_):
            raise TypeError
        at = operator.index(index)
    except TypeError:
        raise TypeError(
            "Calls are selected by a position, a slice, a list or an array of positions, or a "
            f"mask with one truth value per call, not by {index!r}."
        ) from None
    if not -len(calls) <= at < len(calls):
        raise _outside(at, len(calls))
    return int(calls[at])


def _positions(index: Any) -> Array | None:
    """Return positions or a mask as an array, None if the index is neither."""
    try:
        array = np.asarray(index)
    except ValueError:  # nested sequences of unequal lengths
        return None
    if array.size == 0 and array.dtype.kind == "f":  # an empty list
        array = array.astype(np.int64)
    return array if array.dtype.kind in "biu" else None


def _checked(index: Array, n_calls: int) -> Array:
    if index.dtype.kind == "b":
        if len(index) != n_calls:
            raise IndexError(f"The mask has {len(index)} entries for {n_calls} calls.")
        return index
    outside = index[(index < -n_calls) | (index >= n_calls)]
    if len(outside):
        raise _outside(int(outside[0]), n_calls)
    return index


def _outside(at: int, n_calls: int) -> IndexError:
    return IndexError(f"There is no call {at}: there are {n_calls} calls, counted from 0.")
