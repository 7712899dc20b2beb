"""Rows of a table as named tuples, kept by column until they are read.

The class of these tuples is made when the table is read, as pandas does: no module has it, and a
pickle of one row holds its class. Columns travel well, and make the rows where they arrive.
"""

from __future__ import annotations

import collections
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False)
class RowItems(Sequence[Any]):
    """Consecutive rows of a pandas `DataFrame`, as ``DataFrame.itertuples()`` gives them.

    Parameters
    ----------
    fields : tuple of str
        Names of the columns; those that are no Python identifiers become ``_1``, ``_2`` and so on.
    columns : tuple of sequence
        The items of each column.
    """

    fields: tuple[str, ...]
    columns: tuple[Any, ...]

    def __len__(self) -> int:
        return len(self.columns[0])

    def __getitem__(self, index: Any) -> Any:
        part = [column[index] for column in self.columns]
        if isinstance(index, slice):
            return RowItems(self.fields, tuple(part))
        return _row_type(self.fields)._make(part)

    def __iter__(self) -> Iterator[Any]:
        return map(_row_type(self.fields)._make, zip(*self.columns, strict=True))


@functools.lru_cache(maxsize=64)
def _row_type(fields: tuple[str, ...]) -> Any:
    # Name and module as those of pandas' rows: a traceback or a record shows them.
    return collections.namedtuple("Pandas", fields, rename=True, module="pandas.core.frame")
