"""`result_shape` and `result_dtype`: the position of each call's return value in a stacked array.

A result shape such as `(None, 3)` has one entry `None`, the stacking axis: call i fills the slot
at position i along it. One further entry may be `np.inf`: the varying axis, along which the lengths
of return values may differ. Shorter rows are padded with the fill value.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from acme_io.errors import ResultDtypeError, ResultShapeError

__all__ = ["Slots", "fill_value"]

# NumPy's letters for bools, numbers, time differences and dates. Strings have no fixed size per
# element that fits all calls, and objects no HDF5 type.
_KINDS = "biufcmM"


def fill_value(dtype: np.dtype[Any]) -> Any:
    """Return the value of a slot that was never written: NaN, NaT, or else zero."""
    if dtype.kind == "f":
        return dtype.type(np.nan)
    if dtype.kind == "c":
        return dtype.type(complex(np.nan, np.nan))
    # NaT needs the unit of the dtype; the generic one would not cast back.
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
        entries lengths, at least 0. A list is converted to a tuple.
    dtype : dtype_like
        Any dtype of numbers, bools, dates or time differences.

    Raises
    ------
    TypeError
        If the shape is not a tuple or list, an entry is not a number, or NumPy does not know the
        dtype.
    ValueError
        If the shape has no `None` or several, a negative or fractional entry, or `np.inf` twice.
    """

    shape: tuple[int | float | None, ...]
    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype("float"))

    def __post_init__(self) -> None:
        """Check both fields and normalise them."""
        # The way around a frozen dataclass's own `__setattr__`; nothing refers to the object yet.
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
        """Separate the value that goes into the slot from further return values.

        Parameters
        ----------
        value : object
            The return value of a call.

        Returns
        -------
        slotted : object
            The first entry of a tuple, or the whole value. A tuple of k scalars is one vector if
            the slot has shape `(k,)`.
        others : tuple
            The further return values.
        """
        # Exactly `tuple`: a named tuple is one value, like any other sequence.
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
            The return value. It may have an additional axis of length one at the stacking axis; a
            single number fits a slot that holds one element.

        Returns
        -------
        numpy.ndarray
            Array of shape `slot_shape` and dtype `dtype`; its length along the varying axis is
            that of the value.

        Raises
        ------
        ResultShapeError
            If the shape differs: nothing is cut, repeated or broadcast.
        ResultDtypeError
            If NumPy's `same_kind` rule does not allow the conversion, or numbers are out of range.
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
        # `same_kind` allows int64 to int8 and float64 to float32. Overflow only warns in NumPy, or
        # wraps around silently; it is an error here, while rounding of floats is not.
        with np.errstate(all="ignore"):
            row = array.astype(self.dtype, order="C", copy=False)
        if not np.can_cast(array.dtype, self.dtype, "safe"):
            lost = (row != array) if self.dtype.kind in "iu" else np.isinf(row) & ~np.isinf(array)
            if self.dtype.kind in "iufc" and lost.any():
                raise ResultDtypeError(
                    f"The return value has dtype {array.dtype} and contains numbers out of range "
                    f"for result_dtype {self.dtype.name!r}. Pass result_dtype={array.dtype.name!r}."
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
        # A scalar or an array of one element, for slots such as `()`, `(1,)` and `(np.inf,)`.
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
            Arrays returned by `fit`, in the order of calls; `None` for a call without a result.

        Returns
        -------
        stacked : numpy.ndarray
            Array of shape `full_shape(len(rows), longest)`, with the fill value in missing slots
            and after the end of shorter rows.
        lengths : numpy.ndarray of int64, shape (len(rows),), or None
            Length of each row along the varying axis, 0 for a missing row; `None` without `np.inf`.
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
        """Return the index of a row of shape `row_shape` at `position` on the stacking axis."""
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
    # NumPy raises for nested sequences of unequal lengths since version 1.24.
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ResultShapeError(
            f"The return value of type {type(value).__name__} is not a rectangular array "
            f"({error}), but result_shape is {slots._text()}."
        ) from error
    # `asarray` drops the mask without a warning.
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
            f"result_shape {shape!r} contains None {entries.count(None)} times; exactly one None "
            "must mark the stacking dimension, for instance (None, 3)."
        )
    if entries.count(np.inf) > 1:
        raise ValueError(f"result_shape {shape!r}: np.inf may appear only once.")
    return entries


def _checked_entry(entry: object, shape: object) -> int | float | None:
    if entry is None:
        return None
    # In Python, bool is a kind of int.
    if isinstance(entry, (bool, np.bool_)) or not isinstance(entry, (int, float, np.number)):
        raise TypeError(
            f"result_shape {shape!r}: {entry!r} is of type {type(entry).__name__}; entries are "
            "whole numbers, one None and at most one np.inf."
        )
    if entry == np.inf:
        return float("inf")
    # Not `entry < 0`: NaN must be refused as well.
    if not entry >= 0 or int(entry) != entry:
        raise ValueError(
            f"result_shape {shape!r}: {entry!r} is not a length; entries are whole numbers of at "
            "least 0, one None and at most one np.inf."
        )
    return int(entry)


def _checked_dtype(dtype: object) -> np.dtype[Any]:
    # `numpy.dtype(None)` is float64.
    if dtype is None:
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
            f"result_dtype {dtype!r}: stacked results can hold numbers, bools, dates and time "
            f"differences, not {known}."
        )
    return known
