"""Where the items of a distributed argument come from.

================  ===========================================================
`SequenceSource`  call ``i`` gets item ``i`` of a sequence
`SeriesSource`    … of a pandas `Series` or `Index`
`RowSource`       call ``i`` gets row ``i`` of a pandas `DataFrame`
`IteratorSource`  call ``i`` gets item ``i`` of an iterable, read during the run
================  ===========================================================
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from acme_core.arguments.rows import RowItems


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


class SeriesSource(SequenceSource):
    """A pandas `Series` or `Index`; the call gets what ``list(value)`` has there, not its label."""

    def items(self, start: int, stop: int) -> list[Any]:
        """Return the items of calls ``start`` to ``stop - 1``."""
        return list(items_by_place(self.value)[start:stop])


class RowSource(SequenceSource):
    """A pandas `DataFrame`; each call gets a row as ``value.itertuples()`` gives it."""

    def items(self, start: int, stop: int) -> RowItems:
        """Return the rows of calls ``start`` to ``stop - 1``."""
        frame = self.value.iloc[start:stop]
        columns = [list(frame.iloc[:, place]) for place in range(frame.shape[1])]
        return RowItems(("Index", *map(str, frame.columns)), (list(frame.index), *columns))


def items_by_place(values: Any) -> Any:
    """Return values in a form whose slices count items; those of a `Series` may count labels."""
    return getattr(values, "iloc", values)


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
