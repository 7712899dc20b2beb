"""The items of a crossed argument as they travel: each value once, however many calls get it.

::

    AxisItems ──freeze──▶ CrossedColumn   in a batch's message: packed values, and how they repeat
                  └─ large arrays         in files: written when first needed, kept for later
                                          batches, removed after the last call that gets them
"""

from __future__ import annotations

import itertools
import pickle
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from acme_core.arguments.grid import AxisItems
from acme_core.transport.large_objects import LargeObjects
from acme_core.transport.mapped_arrays import MappedArray, is_mappable
from acme_core.transport.plain_values import are_plain, as_array, immutable_types, is_immutable
from acme_core.transport.serialization import Frozen, pack_item


@dataclass(frozen=True)
class CrossedColumn:
    """Items of one crossed argument for the calls of a batch.

    Parameters
    ----------
    items : AxisItems
        The items, where each mutable value is a `Frozen` or a `MappedArray`.
    n_written : int
        Bytes of the arrays that were written to files for this batch.
    """

    items: AxisItems
    n_written: int = 0

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Any]:
        return self.items.repeated(map(_endless, self.items.values))

    def __getitem__(self, part: slice) -> CrossedColumn:
        start, stop, _ = part.indices(len(self))
        return CrossedColumn(_compact(self.items.part(start, stop)))

    @property
    def nbytes(self) -> int:
        """Approximate size of the values in bytes."""
        values = self.items.values
        size = self.n_written + sys.getsizeof(values)
        # Those in files count once, with the batch for which they were written.
        return size + sum(value.nbytes for value in values if type(value) is Frozen)

    @property
    def paths(self) -> Iterator[tuple[int, str]]:
        """Index and file of each item that is an array in a file."""
        if any(type(value) is MappedArray for value in self.items.values):
            for index, value in enumerate(self.items):
                if type(value) is MappedArray:
                    yield index, value.path


class CrossedArrays:
    """Packs the values of crossed arguments, large arrays in files until no call needs them.

    Parameters
    ----------
    files : LargeObjects
        Writes the files.
    n_calls : int
        Number of calls of the run.
    """

    def __init__(self, files: LargeObjects, n_calls: int) -> None:
        self._files = files
        self._n_calls = n_calls
        self._arrays: dict[tuple[int, int], MappedArray] = {}
        # Of each file: its array, and the number of calls that are still to get it.
        self._users: dict[str, tuple[tuple[int, int], int]] = {}

    def freeze(self, argument: int, items: AxisItems) -> CrossedColumn:
        """Pack the items of a crossed argument for a batch; ``argument`` is its index."""
        if set(map(type, items.values)) <= immutable_types():
            return CrossedColumn(_compact(items))
        written = len(self._arrays)
        packed = [self._packed(argument, items, k) for k in range(len(items.values))]
        new = itertools.islice(self._arrays.values(), written, None)
        n_written = sum(array.nbytes for array in new)
        return CrossedColumn(_compact(replace(items, values=packed)), n_written)

    def release(self, path: str) -> None:
        """Note that a call which got the array in this file has ended; remove it after the last."""
        key, n_users = self._users[path]
        self._users[path] = key, n_users - 1
        if n_users == 1:
            del self._users[path], self._arrays[key]
            self._files.release(path)

    def _packed(self, argument: int, items: AxisItems, index: int) -> Any:
        value = items.values[index]
        if is_immutable(value):
            return value
        if is_mappable(value):
            key = argument, (items.first + index) % items.n_places
            if key not in self._arrays:
                array = self._arrays[key] = MappedArray(value, self._files.save)
                self._users[array.path] = key, self._n_calls // items.n_places
            return self._arrays[key]
        if are_plain((value,)):
            return Frozen(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))
        packed = pack_item(value, self._files.save)
        return Frozen(packed) if isinstance(packed, bytes) else packed


def _compact(items: AxisItems) -> AxisItems:
    """Return items whose values are pickled quickly: NumPy's numbers as an array of them."""
    return replace(items, values=as_array(list(items.values)))


def _endless(value: Any) -> Iterator[Any]:
    """Return an endless iterator of a value as it was given, new for each call if it is mutable."""
    return _copies(value) if isinstance(value, Frozen | MappedArray) else itertools.repeat(value)


def _copies(value: Frozen | MappedArray) -> Iterator[Any]:
    yield from value.copies()
    # That iterator is endless. If it ends, the next value would follow too early.
    raise RuntimeError("unpickling an argument raised StopIteration")
