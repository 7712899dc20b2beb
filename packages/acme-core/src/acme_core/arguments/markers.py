"""What a user hands over for one parameter: given to every call, or split up among the calls.

Two small classes split up, and :mod:`acme_core.arguments.distribution` decides between them:

=============  =====================================================================
`SequenceSource`  call ``i`` gets item ``i`` of a sequence
`IteratorSource`        call ``i`` gets item ``i`` of an iterable that is read as the run goes on
=============  =====================================================================

What is neither goes to every call whole.
"""

from __future__ import annotations

import itertools
import numbers
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from acme_core.arguments.lazy_types import is_array, is_h5py, loaded_types

_H5_KINDS = ("File", "Group", "Dataset")
_SCALARS = frozenset((bool, int, float, complex, str, bytes, type(None)))


class Marked:
    """A value with the user's word on how to distribute it; made by `each` and `shared`."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"{type(self).__name__}({type(self.value).__name__})"


class EachMark(Marked):
    """Made by `each`."""


class SharedMark(Marked):
    """Made by `shared`."""


def each(values: Iterable[Any]) -> Any:
    """Hand item ``i`` of ``values`` to call ``i``.

    Parameters
    ----------
    values : iterable
        A sequence, an array of any dimension (its first axis is split up), an
        `h5py.Dataset`, a generator or any other iterable. With ``n_inputs`` given, a
        generator is read while the calls run, otherwise in the constructor of `ParallelMap`.

    Returns
    -------
    object
        To be passed to `ParallelMap` in the place of the argument.

    Raises
    ------
    TypeError
        If ``values`` cannot be iterated over.

    Examples
    --------
    >>> import numpy as np
    >>> from acme_core import each
    >>> each(np.zeros((3, 100)))
    EachMark(ndarray)
    """
    if isinstance(values, Marked):
        raise TypeError("each(...): the value is marked already; use either each or shared.")
    try:
        if getattr(values, "shape", None) == ():
            raise TypeError
        if not is_indexable(values):
            iter(values)
    except TypeError:
        raise TypeError(
            f"each(...) needs something to iterate over, not {type(values).__name__}. "
            "For a value that every call gets whole pass it plainly, or use shared(...)."
        ) from None
    return EachMark(values)


def shared(value: Any) -> Any:
    """Hand the whole of ``value`` to every call.

    Parameters
    ----------
    value : object
        Anything that can be pickled.

    Returns
    -------
    object
        To be passed to `ParallelMap` in the place of the argument.

    Raises
    ------
    TypeError
        If the value is marked by `each` or `shared` already.

    Examples
    --------
    >>> from acme_core import shared
    >>> shared([1, 2, 3])
    SharedMark(list)
    """
    if isinstance(value, Marked):
        raise TypeError("shared(...): the value is marked already; use either each or shared.")
    return SharedMark(value)


def is_real_number(value: Any) -> bool:
    """Whether a value is a real number of Python or NumPy, and not a truth value."""
    return isinstance(value, numbers.Real) and not isinstance(
        value, (bool, *loaded_types("numpy", "bool_"))
    )


def h5_objects(value: Any) -> Sequence[Any]:
    """Return the HDF5 objects among a value and, of a list or tuple, its items."""
    items = value if isinstance(value, list | tuple) else (value,)
    kinds = loaded_types("h5py", *_H5_KINDS)
    # One look at the types of a million items takes 20 ms; one at each item takes a second.
    if not kinds or not any(issubclass(kind, kinds) for kind in set(map(type, items))):
        return ()
    return [item for item in items if isinstance(item, kinds)]


def unreadable_h5(value: Any) -> str | None:
    """Say why a worker could not open an HDF5 object for reading; `None` if it could."""
    if not is_h5py(value, *_H5_KINDS):
        return None
    if not value:
        return "is closed. Open its file again for reading."
    file = value.file
    if file.driver == "core":
        return "lives in memory only. Save it to a file, and pass that opened for reading."
    if file.mode != "r":
        return 'is open for writing. Close it, and pass it opened with h5py.File(..., "r").'
    return None


def is_indexable(value: Any) -> bool:
    """Whether ``value[i]`` is its i-th item for each ``i`` below ``len(value)``."""
    return isinstance(value, Sequence) or is_array(value) or is_h5py(value, "Dataset")


def candidate_length(value: Any) -> int | None:
    """Length of a value that is split up when the user does not say otherwise, else `None`.

    Lists, tuples, ranges and arrays of shape ``(n,)``, ``(n, 1)`` or ``(1, n)`` are.
    """
    if isinstance(value, list | tuple | range):
        return len(value)
    if is_array(value) and type(value) not in loaded_types("numpy", "matrix"):
        if value.ndim == 1:
            return value.size
        if value.ndim == 2 and 1 in value.shape:
            return value.size
    return None


def memory_size(value: Any, depth: int = 3) -> int:
    """Memory that a value takes in bytes, its array data and elements included."""
    if is_h5py(value, "Dataset", "File", "Group"):
        return 0  # travels by name
    size = getattr(value, "nbytes", None)
    if isinstance(size, int):
        return size
    if isinstance(value, list | tuple | set | frozenset | dict) and depth:
        items: Any = value.values() if isinstance(value, dict) else value
        # The first ten thousand elements speak for the others.
        some = list(itertools.islice(items, 10_000))
        if set(map(type, some)) <= _SCALARS:
            inner = sum(map(sys.getsizeof, some))
        else:
            inner = sum(memory_size(item, depth - 1) for item in some)
        return sys.getsizeof(value) + inner * len(value) // max(1, len(some))
    return sys.getsizeof(value)


class SequenceSource:
    """A sequence whose item ``i`` goes to call ``i``.

    Parameters
    ----------
    value : sequence, ndarray or h5py.Dataset
        Split up along its first axis.
    """

    def __init__(self, value: Any) -> None:
        self.value = value

    def items(self, start: int, stop: int) -> Any:
        """Items of the calls ``start`` to ``stop - 1``: a list, range, tuple or array."""
        return self.value[start:stop]


class IteratorSource:
    """Items that are read from an iterator in call order, not before they are needed.

    Parameters
    ----------
    values : iterable
        Where the items come from; read once, and only once.
    n_calls : int
        How many items there must be.
    parameter : str
        Name of the parameter, for messages.
    """

    def __init__(self, values: Iterable[Any], n_calls: int, parameter: str) -> None:
        self._iterator: Iterator[Any] = iter(values)
        self._n_calls = n_calls
        self._parameter = parameter
        self._drawn = 0
        self._ahead: list[Any] = []
        self._lock = threading.Lock()

    @property
    def started(self) -> bool:
        """Whether an item was read already."""
        return self._drawn > 0

    def items(self, start: int, stop: int) -> list[Any]:
        """Read the items of the calls ``start`` to ``stop - 1``, which must be next in turn.

        Raises
        ------
        ValueError
            If there are fewer items than calls, or more.
        """
        with self._lock:
            if start != self._drawn:
                raise ValueError(
                    f"<ParallelMap> the items of `{self._parameter}` can be read once, and "
                    f"{self._drawn} were read already. Pass a list to run again."
                )
            items, self._ahead = self._ahead, []
            items += itertools.islice(self._iterator, stop - start - len(items))
            self._drawn += len(items)
            if self._drawn < stop:
                raise ValueError(self._miscount(str(self._drawn)))
            if stop == self._n_calls and self._has_more():
                raise ValueError(self._miscount(f"more than {self._n_calls}"))
        return items

    def peek(self) -> Any:
        """Read the first item and keep it for its call."""
        with self._lock:
            if not self._ahead:
                self._ahead = list(itertools.islice(self._iterator, 1))
            if not self._ahead:
                raise ValueError(self._miscount("0"))
            return self._ahead[0]

    def _has_more(self) -> bool:
        return next(self._iterator, self) is not self

    def _miscount(self, found: str) -> str:
        return (
            f"<ParallelMap> n_inputs is {self._n_calls}, but `{self._parameter}` has {found} "
            "items. Give n_inputs the number of items, or pass a list and leave n_inputs out."
        )
