"""The grid of `cross`: the calls are all combinations of some values, the last axis varies fastest.

::

    cross([1, 2, 3]), cross([10, 20])        call    0  1  2  3  4  5
                                             axis 0  1  1  2  2  3  3      stride 2
                                             axis 1 10 20 10 20 10 20      stride 1

A call's place on each axis follows from its number, so the combinations are never listed: an axis
hands out the few values that a batch needs, and `AxisItems` repeats them as they are read.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from acme_core.arguments.candidates import ArgumentKey, described
from acme_core.arguments.sources import SequenceSource, items_by_place


@dataclass(frozen=True, eq=False)
class AxisItems(Sequence[Any]):
    """Items of consecutive calls on one axis: each value for ``stride`` calls, then the next one.

    Parameters
    ----------
    values : sequence
        The values that occur, from that of the first item on; after the last one follows the first.
    first : int
        Place of the first of them on the axis.
    n_places : int
        Number of places on the axis.
    stride : int
        Number of consecutive calls with the same value.
    skip : int
        Number of calls with the first value that come before the first item.
    length : int
        Number of items.
    """

    values: Sequence[Any]
    first: int
    n_places: int
    stride: int
    skip: int
    length: int

    @classmethod
    def cut(cls, axis: Any, stride: int, start: int, stop: int) -> AxisItems:
        """Return the items ``start`` to ``stop - 1`` of an axis with these values, in a cycle."""
        first, skip = divmod(start, stride)
        n_values = min(len(axis), -(-(skip + stop - start) // stride))
        place = first % len(axis)
        # Two slices if they go beyond the end: arrays and datasets are read quickly by slices.
        by_place = items_by_place(axis)
        values = list(by_place[place : place + n_values])
        # Not `+=`, which would add a NumPy array to the items.
        values.extend(by_place[: n_values - len(values)])
        return cls(values, place, len(axis), stride, skip, stop - start)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            start, stop, _ = index.indices(self.length)
            return self.part(start, stop)
        call = self.skip + range(self.length)[index]
        return self.values[call // self.stride % len(self.values)]

    def part(self, start: int, stop: int) -> AxisItems:
        """Return the items ``start`` to ``stop - 1``, with the values that occur there."""
        if stop <= start:
            return replace(self, values=(), length=0)
        cut = AxisItems.cut(self.values, self.stride, self.skip + start, self.skip + stop)
        first = (self.first + cut.first) % self.n_places
        return replace(cut, first=first, n_places=self.n_places)

    def __iter__(self) -> Iterator[Any]:
        return self.repeated(map(itertools.repeat, self.values))

    def repeated(self, streams: Iterable[Iterator[Any]]) -> Iterator[Any]:
        """Iterate over the items, taken from an endless iterator for each of the values.

        Everything is done by Python's own iterators: code for each item would take longer than a
        short call.
        """
        if not self.length:
            return iter(())
        turns = itertools.cycle(streams)
        if self.stride == 1:
            return itertools.islice(map(next, turns), self.length)
        begun = itertools.islice(next(turns), self.stride - self.skip)
        stretches = map(itertools.islice, turns, itertools.repeat(self.stride))
        items = itertools.chain(begun, itertools.chain.from_iterable(stretches))
        return itertools.islice(items, self.length)


class AxisSource(SequenceSource):
    """The values of one axis; call ``i`` gets item ``i // stride`` of them, in a cycle.

    Parameters
    ----------
    value : sequence, ndarray, pandas.Series or h5py.Dataset
        The values.
    stride : int
        Number of consecutive calls with the same value.
    """

    def __init__(self, value: Any, stride: int) -> None:
        super().__init__(value)
        self.stride = stride

    def items(self, start: int, stop: int) -> AxisItems:
        """Return the items of calls ``start`` to ``stop - 1``, with the values that occur there."""
        return AxisItems.cut(self.value, self.stride, start, stop)


def grid_sources(
    axes: Mapping[ArgumentKey, Any], names: Mapping[ArgumentKey, str], wanted: int | None
) -> tuple[int, dict[ArgumentKey, AxisSource]]:
    """Return the number of combinations, and the source of each axis.

    Parameters
    ----------
    axes : mapping
        The values of each axis by place, the one that varies fastest last.
    names : mapping
        Parameter names by place.
    wanted : int or None
        The number of calls that the user gave.

    Raises
    ------
    ValueError
        If an axis has no values, or their combinations are not as many as the user gave.
    """
    lengths = {place: len(values) for place, values in axes.items()}
    n_calls = math.prod(lengths.values())
    if not n_calls:
        empty = [f"`{names[place]}`" for place, length in lengths.items() if not length]
        raise ValueError(
            f"<ParallelMap> nothing to compute: {', '.join(empty)}, marked by cross(...), is "
            "empty. Pass at least one value."
        )
    if wanted not in (None, n_calls):
        raise ValueError(
            f"<ParallelMap> n_inputs is {wanted}, but the arguments marked by cross(...) have "
            f"{n_calls} combinations: {described(lengths, names)}. Leave out n_inputs."
        )
    sources, stride = {}, n_calls
    for place, values in axes.items():
        stride //= len(values)
        sources[place] = AxisSource(values, stride)
    return n_calls, sources
