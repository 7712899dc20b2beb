"""How one argument reaches the calls: shared by all of them, or one item each.

Two small classes hand out items; :mod:`acme_core.arguments.distribution` chooses between them:

================  ===========================================================
`SequenceSource`  call ``i`` gets item ``i`` of a sequence
`IteratorSource`  call ``i`` gets item ``i`` of an iterable, read during the run
================  ===========================================================

Every other argument is shared.
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
# Exact types whose size `sys.getsizeof` gives completely.
_SCALARS = frozenset((bool, int, float, complex, str, bytes, type(None)))


class Marked:
    """A value that the user marked by `each` or `shared`."""

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
        A sequence, an array of any dimension (distributed along its first axis), an
        `h5py.Dataset`, a generator or any other iterable. With ``n_inputs`` given, a
        generator is read while the calls run, otherwise in the constructor of `ParallelMap`.

    Returns
    -------
    object
        The argument to pass to `ParallelMap`.

    Raises
    ------
    TypeError
        If ``values`` is not iterable, or already marked.

    Examples
    --------
    >>> import numpy as np
    >>> from acme_core import each
    >>> each(np.zeros((3, 100)))
    EachMark(ndarray)
    """
    if isinstance(values, Marked):
        raise TypeError("each(...): the value is already marked; use either each or shared.")
    try:
        # `is_indexable` accepts arrays and datasets of any dimension, also 0.
        if getattr(values, "shape", None) == ():
            raise TypeError
        if not is_indexable(values):
            iter(values)
    except TypeError:
        raise TypeError(
            f"each(...) needs an iterable, not {type(values).__name__}. "
            "To give every call the whole value, pass it without each(...), or use shared(...)."
        ) from None
    return EachMark(values)


def shared(value: Any) -> Any:
    """Hand all of ``value`` to every call.

    Parameters
    ----------
    value : object
        Anything that can be pickled.

    Returns
    -------
    object
        The argument to pass to `ParallelMap`.

    Raises
    ------
    TypeError
        If the value is already marked by `each` or `shared`.

    Examples
    --------
    >>> from acme_core import shared
    >>> shared([1, 2, 3])
    SharedMark(list)
    """
    if isinstance(value, Marked):
        raise TypeError("shared(...): the value is already marked; use either each or shared.")
    return SharedMark(value)


def is_real_number(value: Any) -> bool:
    """Whether a value is a real number of Python or NumPy, but no boolean."""
    return isinstance(value, numbers.Real) and not isinstance(
        value, (bool, *loaded_types("numpy", "bool_"))
    )


def h5_objects(value: Any) -> Sequence[Any]:
    """Return the HDF5 objects among a value and, of a list or tuple, its items."""
    items = value if isinstance(value, list | tuple) else (value,)
    kinds = loaded_types("h5py", *_H5_KINDS)
    # The set of types of a million items takes 20 ms, a test of each item a second.
    if not kinds or not any(issubclass(kind, kinds) for kind in set(map(type, items))):
        return ()
    return [item for item in items if isinstance(item, kinds)]


def unreadable_h5(value: Any) -> str | None:
    """Return the reason a worker cannot open this HDF5 object for reading, or `None`."""
    if not is_h5py(value, *_H5_KINDS):
        return None
    if not value:  # h5py objects are false when closed
        return "is closed. Open its file again for reading."
    file = value.file
    if file.driver == "core":
        return "exists in memory only. Save it to a file, and pass that opened for reading."
    # A file that is open for writing may be inconsistent on disk, and HDF5 may refuse to open it.
    if file.mode != "r":
        return 'is open for writing. Close it, and pass it opened with h5py.File(..., "r").'
    return None


def is_indexable(value: Any) -> bool:
    """Whether ``value[i]`` is its i-th item for each ``i`` below ``len(value)``."""
    return isinstance(value, Sequence) or is_array(value) or is_h5py(value, "Dataset")


def candidate_length(value: Any) -> int | None:
    """Return the length of a value that is distributed by default, else `None`.

    Such values are lists, tuples, ranges and arrays of shape ``(n,)``, ``(n, 1)`` or ``(1, n)``.
    """
    if isinstance(value, list | tuple | range):
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
    if is_h5py(value, *_H5_KINDS):
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


class SequenceSource:
    """A sequence whose item ``i`` goes to call ``i``.

    Parameters
    ----------
    value : sequence, ndarray or h5py.Dataset
        Distributed along its first axis.
    """

    def __init__(self, value: Any) -> None:
        self.value = value

    def items(self, start: int, stop: int) -> Any:
        """Return the items of calls ``start`` to ``stop - 1``: a list, range, tuple or array."""
        return self.value[start:stop]


class IteratorSource:
    """An iterator that is read in call order during the run.

    Parameters
    ----------
    values : iterable
        Read once only.
    n_calls : int
        The required number of items.
    parameter : str
        Name of the parameter, for messages.
    """

    def __init__(self, values: Iterable[Any], n_calls: int, parameter: str) -> None:
        self._iterator: Iterator[Any] = iter(values)
        self._n_calls = n_calls
        self._parameter = parameter
        self._drawn = 0
        # The item read by `peek`, until its call gets it.
        self._ahead: list[Any] = []
        # Two threads may call compute() of one ParallelMap at the same time.
        self._lock = threading.Lock()

    @property
    def started(self) -> bool:
        """Whether a call was given its item."""
        return self._drawn > 0

    def items(self, start: int, stop: int) -> list[Any]:
        """Read the items of calls ``start`` to ``stop - 1``, which must be the next ones.

        Raises
        ------
        ValueError
            If the number of items differs from the number of calls.
        """
        with self._lock:
            if start != self._drawn:
                raise ValueError(
                    f"<ParallelMap> the items of `{self._parameter}` can be read only once, and "
                    f"{self._drawn} have been read. Pass a list to run again."
                )
            items, self._ahead = self._ahead, []
            items += itertools.islice(self._iterator, stop - start - len(items))
            self._drawn += len(items)
            if self._drawn < stop:
                raise ValueError(self._miscount(str(self._drawn)))
            # Reads one more item: an iterator does not tell its length in any other way.
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
            "items. Set n_inputs to the number of items, or pass a list without n_inputs."
        )
