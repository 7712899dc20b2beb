"""Rows of a table as they travel: its columns, each packed like the items of one argument."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from acme_core.arguments.rows import RowItems
from acme_core.transport.mapped_arrays import Save
from acme_core.transport.serialization import FrozenColumn, column_nbytes, freeze_column


@dataclass(frozen=True)
class RowColumn:
    """The rows of one argument for the calls of a batch.

    Parameters
    ----------
    rows : RowItems
        The rows, with columns from `freeze_column`.
    """

    rows: RowItems

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.rows)

    def __getitem__(self, part: slice) -> RowColumn:
        return RowColumn(self.rows[part])

    @property
    def nbytes(self) -> int:
        """Approximate size of all columns in bytes."""
        return sum(map(column_nbytes, self.rows.columns))

    @property
    def paths(self) -> Iterator[tuple[int, str]]:
        """Index of the row, and file, of each value that has its own file."""
        for column in self.rows.columns:
            if isinstance(column, FrozenColumn):
                yield from column.paths


def freeze_rows(rows: RowItems, save: Save) -> RowColumn:
    """Pack rows for a batch of calls; see `freeze_column`."""
    columns = tuple(freeze_column(column, save) for column in rows.columns)
    return RowColumn(RowItems(rows.fields, columns))
