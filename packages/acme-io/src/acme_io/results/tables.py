"""The calls of a run as columns: arguments, scalar results, and what the run recorded.

Pandas, CSV files and selections by argument start from these columns, which need NumPy alone.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from acme_io.records.argument_values import argument_value
from acme_io.records.call_record import DONE, PICKLED, STATUS_NAMES
from acme_io.results.columns import Column, column_of
from acme_io.results.grid import complete, grid_on_record
from acme_io.results.leaves import is_scalar, named_values, scalars_in
from acme_io.results.selection import Calls, numbers_of
from acme_io.results.stacking import stack_intact
from acme_io.runs.reading import RunReader

__all__ = ["alike", "argument_columns", "free_name", "renamed", "table_columns"]

Array = np.ndarray[Any, Any]
Arguments = dict[int, dict[str, Any]]


def table_columns(reader: RunReader, calls: Calls) -> list[Column]:
    """Return the columns of a table with a row per call; see `Results.to_pandas`.

    Raises
    ------
    PicklesRefusedError, DamagedFileError, MissingCallError
        As for `Call.values`. Calls on record as failed or missing raise nothing.
    """
    numbers = numbers_of(calls)
    results, found = _result_columns(reader, calls)
    arguments = argument_columns(reader, numbers, found)
    record = _record_columns(reader, numbers)
    results = renamed(results, _names(arguments) | _names(record), "result")
    return [*arguments, *results, *renamed(record, _names(arguments) | _names(results), "call")]


def _names(columns: Iterable[Column]) -> set[str]:
    return {one.name for one in columns}


def renamed(columns: Sequence[Column], others: set[str], prefix: str) -> list[Column]:
    """Return columns with a prefix and a dot in front of names that others have."""
    taken = others | _names(columns)
    found = []
    for one in columns:
        name = free_name(one.name, taken, prefix) if one.name in others else one.name
        taken.add(name)
        found.append(Column(name, one.values, one.known))
    return found


def free_name(name: str, taken: set[str], prefix: str) -> str:
    """Return a name, behind a prefix and a dot if it is taken."""
    while name in taken:
        name = f"{prefix}.{name}"
    return name


def _record_columns(reader: RunReader, numbers: Array) -> list[Column]:
    table = reader.source.table
    names = np.array(STATUS_NAMES, object)
    workers = np.array([*table.workers, None], object)  # -1, unknown, is the last
    worker, memory = table.worker[numbers], table.peak_memory[numbers]
    return [
        Column("status", names[reader.status[numbers]], np.ones(len(numbers), bool)),
        Column("seconds", table.seconds[numbers], ~np.isnan(table.seconds[numbers])),
        Column("peak_memory", memory, memory > 0),
        Column("worker", workers[worker], worker >= 0),
    ]


def argument_columns(
    reader: RunReader, numbers: Array, found: Arguments | None = None
) -> list[Column]:
    """Return a column per distributed argument, or per axis of the run's grid.

    Parameters
    ----------
    reader : RunReader
        The run.
    numbers : numpy.ndarray of int64
        The calls.
    found : dict of int to dict, optional
        Arguments on record that were read already.
    """
    grid = grid_on_record(reader)
    if grid is not None:
        grid = complete(reader, grid)
        places = np.unravel_index(numbers, grid.shape)
        axes = [column_of(*axis) for axis in zip(grid.names, grid.values, strict=True)]
        return [
            Column(axis.name, axis.values[at], axis.known[at])
            for axis, at in zip(axes, places, strict=True)
        ]
    rows = _arguments(reader, numbers, found or {})
    names = dict.fromkeys(name for row in rows for name in row)
    return [column_of(name, [argument_value(row.get(name)) for row in rows]) for name in names]


def _arguments(reader: RunReader, numbers: Array, found: Arguments) -> list[dict[str, Any]]:
    unread = np.array([number for number in numbers.tolist() if number not in found], np.int64)
    read = dict(zip(unread.tolist(), reader.arguments(unread), strict=True))
    return [found[number] if number in found else read[number] for number in numbers.tolist()]


def _result_columns(reader: RunReader, calls: Calls) -> tuple[list[Column], Arguments]:
    """Return a column per scalar result, and the arguments of calls whose record was read."""
    numbers = numbers_of(calls)
    status = reader.status[numbers]
    if alike(reader, numbers):
        columns = _stacked_columns(reader, calls, int(numbers[status == DONE][0]))
        if columns is not None:
            return columns, {}
    rows, arguments = _Rows(len(numbers)), {}
    for at in np.flatnonzero(np.isin(status, (DONE, PICKLED))).tolist():
        number = int(numbers[at])
        value, arguments[number] = reader.scalars_and_arguments(number)
        rows.add(at, value)
    return rows.columns(), arguments


def alike(reader: RunReader, numbers: Array) -> bool:
    """Whether all results of some calls, at least one, have one form and lie in few files."""
    status = reader.status[numbers]
    done = np.unique(numbers[status == DONE])
    if not len(done) or (status == PICKLED).any() or reader.source.only_pickles:
        return False
    return reader.source.alike(done.tolist())


def _stacked_columns(reader: RunReader, calls: Calls, first: int) -> list[Column] | None:
    """Read the scalar results of calls whose results are alike, a column at a time.

    None if the source cannot, or if a column is hidden in a dict: then the calls are read one by
    one.
    """
    known, columns = reader.status[numbers_of(calls)] == DONE, []
    for index, (name, value) in enumerate(named_values(reader.scalars_and_arguments(first)[0])):
        if isinstance(value, dict):
            return None
        if is_scalar(value):
            rows = stack_intact(reader, calls, index)
            if rows is None or rows.ndim != 1:
                return None
            columns.append(Column(name, rows, known))
    return columns


class _Rows:
    """Scalars of calls that are read one by one."""

    def __init__(self, n_calls: int) -> None:
        self._n_calls = n_calls
        self._values: dict[str, list[Any]] = {}

    def add(self, at: int, value: object) -> None:
        """Add the scalars of the call in a row."""
        for name, one in scalars_in(value):
            column = self._values.get(name)
            if column is None:
                column = self._values[name] = [None] * self._n_calls
            column[at] = one

    def columns(self) -> list[Column]:
        """Return the columns, in the order in which their names were met."""
        return [column_of(name, values) for name, values in self._values.items()]
