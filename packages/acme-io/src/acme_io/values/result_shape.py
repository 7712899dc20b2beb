"""`result_shape` and `result_dtype`: where one call's return value goes in the stacked array.

A result shape such as `(None, 3)` has one entry `None`, the stacking axis: call i fills the slot
at position i along it. One further entry may be `np.inf`: the varying axis, along which calls may
return different lengths; shorter rows are padded with the fill value.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from acme_io.errors import ResultDtypeError, ResultShapeError

__all__ = ["Slots", "fill_value"]

_KINDS = "biufcmM"  # NumPy's letters for bools, numbers, time differences and dates


def fill_value(dtype: np.dtype[Any]) -> Any:
    """Value of a slot that was never written: NaN, NaT, or zero where a dtype has neither."""
    if dtype.kind == "f":
        return dtype.type(np.nan)
    if dtype.kind == "c":
        return dtype.type(complex(np.nan, np.nan))
    if dtype.kind in "mM":
        return dtype.type("NaT", np.datetime_data(dtype)[0])
    return np.zeros((), dtype)[()]


@dataclass(frozen=True)
class Slots:
    """Shape and dtype of stacked results.

    Parameters
    ----------
    shape : tuple of int, None or float
        Exactly one `None` (the stacking axis), at most one `np.inf` (the varying axis), the other
        entries lengths, at least 0. A list is taken as a tuple.
    dtype : dtype_like
        Anything that `numpy.dtype` takes, of numbers, bools, dates or time differences.

    Raises
    ------
    TypeError
        The shape is not a tuple or list, an entry is no number, or NumPy does not know the dtype.
    ValueError
        No `None` or several, a negative or fractional entry, `np.inf` twice.
    """

    shape: tuple[int | float | None, ...]
    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype("float"))

    def __post_init__(self) -> None:
        """Check both and bring them to their plain form."""
        object.__setattr__(self, "shape", _checked_shape(self.shape))
        object.__setattr__(self, "dtype", _checked_dtype(self.dtype))

    @property
    def stacking_axis(self) -> int:
        """Position of `None` in the shape."""
        return self.shape.index(None)

    @property
    def varying_axis(self) -> int | None:
        """Position of `np.inf` in the shape; `None` if there is none."""
        return self.shape.index(np.inf) if np.inf in self.shape else None

    @property
    def slot_shape(self) -> tuple[int | float, ...]:
        """Shape of one call's slot: the shape without its stacking axis."""
        return tuple(n for n in self.shape if n is not None)

    def full_shape(self, n_calls: int, varying: int = 0) -> tuple[int, ...]:
        """Shape of the stacked array of `n_calls` calls whose longest row has length `varying`."""
        return tuple(
            n_calls if n is None else varying if n == np.inf else int(n) for n in self.shape
        )

    def split(self, value: object) -> tuple[object, tuple[object, ...]]:
        """Tell a call's value for its slot from its other return values.

        Parameters
        ----------
        value : object
            What the call returned.

        Returns
        -------
        slotted : object
            The first entry of a tuple, or the whole value. A tuple of k scalars is one vector where
            the slot has shape `(k,)`.
        others : tuple
            The further return values.
        """
        if type(value) is not tuple or not value:
            return value, ()
        slot = self.slot_shape
        scalars = all(np.isscalar(entry) for entry in value)
        if scalars and len(slot) == 1 and slot[0] in (len(value), np.inf):
            return value, ()
        return value[0], value[1:]

    def fit(self, value: object) -> np.ndarray[Any, Any]:
        """Turn one return value into the array of its slot.

        Parameters
        ----------
        value : array_like
            What the call returned. An axis of length one at the stacking axis may be there or not;
            a single number fits a slot that holds one element.

        Returns
        -------
        numpy.ndarray
            Array of shape `slot_shape`, with `dtype`; its length along the varying axis is its own.

        Raises
        ------
        ResultShapeError
            Any other shape: nothing is cut, repeated or broadcast.
        ResultDtypeError
            The value's dtype does not convert by NumPy's `same_kind` rule.
        """
        array = _as_array(value, self)
        if not np.can_cast(array.dtype, self.dtype, "same_kind"):
            better = (
                f"Pass result_dtype={array.dtype.name!r}, or convert"
                if (array.dtype.kind in _KINDS)
                else "Convert"
            )
            raise ResultDtypeError(
                f"The return value has dtype {array.dtype}, which cannot be stored with "
                f"result_dtype {self.dtype.name!r} without changing what it means. {better} the "
                "value in the function."
            )
        return self._converted(self._into_slot(array))

    def _converted(self, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        with np.errstate(all="ignore"):
            row = array.astype(self.dtype, order="C", copy=False)
        if not np.can_cast(array.dtype, self.dtype, "safe"):
            lost = (row != array) if self.dtype.kind in "iu" else np.isinf(row) & ~np.isinf(array)
            if self.dtype.kind in "iufc" and lost.any():
                raise ResultDtypeError(
                    f"The return value has dtype {array.dtype} and numbers beyond the range of "
                    f"result_dtype {self.dtype.name!r}. Pass result_dtype={array.dtype.name!r}."
                )
        return row

    def _into_slot(self, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        slot, axis = self.slot_shape, self.stacking_axis
        if _matches(array.shape, slot):
            return array
        if array.ndim == len(self.shape) and array.shape[axis] == 1:
            row = array.reshape(array.shape[:axis] + array.shape[axis + 1 :])
            if _matches(row.shape, slot):
                return row
        one = tuple(1 if n == np.inf else n for n in slot)
        if array.size == 1 and array.ndim <= 1 and all(n == 1 for n in one):
            return array.reshape(tuple(int(n) for n in one))
        raise ResultShapeError(
            f"The return value has shape {array.shape}, but result_shape {self._text()} has slots "
            f"of shape {self._text(slot)}. Return an array of that shape, or change result_shape."
        )

    def stack(
        self, rows: Sequence[np.ndarray[Any, Any] | None]
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any] | None]:
        """Stack the arrays of all slots in memory.

        Parameters
        ----------
        rows : sequence of numpy.ndarray or None
            What `fit` returned, in the order of calls; `None` where a call has no result.

        Returns
        -------
        stacked : numpy.ndarray
            Array of shape `full_shape(len(rows), longest)`; missing slots and the ends of shorter
            rows hold the fill value.
        lengths : numpy.ndarray of int64, shape (len(rows),), or None
            Length of each row along the varying axis, 0 for a missing one; `None` without `np.inf`.
        """
        lengths = None
        if self.varying_axis is not None:
            axis = self.slot_shape.index(np.inf)
            lengths = np.array([0 if r is None else r.shape[axis] for r in rows], dtype=np.int64)
        longest = 0 if lengths is None or not len(rows) else int(lengths.max())
        stacked = np.full(self.full_shape(len(rows), longest), fill_value(self.dtype), self.dtype)
        for number, row in enumerate(rows):
            if row is not None:
                stacked[self.where(number, row.shape)] = row
        return stacked, lengths

    def where(self, position: int, row_shape: tuple[int, ...]) -> tuple[int | slice, ...]:
        """Index of a row of shape `row_shape` at `position` along the stacking axis."""
        where: list[int | slice] = [slice(0, n) for n in row_shape]
        where.insert(self.stacking_axis, position)
        return tuple(where)

    def _text(self, shape: tuple[int | float | None, ...] | None = None) -> str:
        entries = [str(n) for n in (self.shape if shape is None else shape)]
        return f"({', '.join(entries)}{',' if len(entries) == 1 else ''})"


def _matches(shape: tuple[int, ...], slot: tuple[int | float, ...]) -> bool:
    return len(shape) == len(slot) and all(
        want in (np.inf, have) for have, want in zip(shape, slot, strict=True)
    )


def _as_array(value: object, slots: Slots) -> np.ndarray[Any, Any]:
    try:
        array = np.asarray(value)
    except ValueError as error:  # nested sequences of unequal lengths
        raise ResultShapeError(
            f"The return value of type {type(value).__name__} is no rectangular array "
            f"({error}), but result_shape is {slots._text()}."
        ) from error
    if np.ma.isMaskedArray(value):
        raise ResultDtypeError(
            f"The return value is a masked array; result_dtype {slots.dtype} cannot keep its mask. "
            "Return value.filled(...) instead."
        )
    return array


def _checked_shape(shape: object) -> tuple[int | float | None, ...]:
    if not isinstance(shape, (tuple, list)):
        raise TypeError(
            f"result_shape must be a tuple with one None, for instance (None, 3), not {shape!r} "
            f"of type {type(shape).__name__}."
        )
    entries = tuple(_checked_entry(entry, shape) for entry in shape)
    if entries.count(None) != 1:
        raise ValueError(
            f"result_shape {shape!r} has {entries.count(None)} entries None; exactly one must mark "
            "the stacking dimension, for instance (None, 3)."
        )
    if entries.count(np.inf) > 1:
        raise ValueError(f"result_shape {shape!r}: np.inf may stand for one length only.")
    return entries


def _checked_entry(entry: object, shape: object) -> int | float | None:
    if entry is None:
        return None
    if isinstance(entry, (bool, np.bool_)) or not isinstance(entry, (int, float, np.number)):
        raise TypeError(
            f"result_shape {shape!r}: {entry!r} is of type {type(entry).__name__}; entries are "
            "whole numbers, one None and at most one np.inf."
        )
    if entry == np.inf:
        return float("inf")
    if not entry >= 0 or int(entry) != entry:
        raise ValueError(
            f"result_shape {shape!r}: {entry!r} is not a length; entries are whole numbers of at "
            "least 0, one None and at most one np.inf."
        )
    return int(entry)


def _checked_dtype(dtype: object) -> np.dtype[Any]:
    if dtype is None:  # NumPy would silently read it as float
        raise TypeError("result_dtype None: pass a data type that NumPy knows, such as 'float'.")
    try:
        known: np.dtype[Any] = np.dtype(dtype)  # type: ignore[call-overload]
    except (TypeError, ValueError, SyntaxError) as error:
        raise TypeError(
            f"result_dtype {dtype!r} is not a data type that NumPy knows; pass for instance "
            "'float', 'int32' or 'complex'."
        ) from error
    if known.kind not in _KINDS:
        raise TypeError(
            f"result_dtype {dtype!r}: stacked results hold numbers, bools, dates or time "
            f"differences, not {known}."
        )
    return known
