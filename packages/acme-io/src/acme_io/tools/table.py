"""The table of a run as CSV, or as rows for JSON, without pandas."""

import csv
import io
import os
from pathlib import Path
from typing import Any

import numpy as np

from acme_io.errors import ResultsExistError
from acme_io.files import atomic
from acme_io.results.columns import Column
from acme_io.results.results import Results
from acme_io.results.tables import free_name

__all__ = ["table_rows", "to_csv", "write_table"]


def write_table(results: Results, target: str | os.PathLike[str]) -> Path:
    """Write the table of a run to a CSV file.

    Parameters
    ----------
    results : Results
        The calls, one row each; the columns are those of `Results.to_pandas`.
    target : path_like
        The file to write, which must not exist.

    Returns
    -------
    pathlib.Path
        Absolute path of the file.

    Raises
    ------
    ResultsExistError
        The target exists.
    """
    path = Path(target).absolute()
    # Before the table is made, which may read a file per call.
    if os.path.lexists(path):
        raise ResultsExistError(
            f"{path} already exists and is not overwritten. Choose another name."
        )
    atomic.write_whole(path, [to_csv(results).encode("utf-8", "replace")])
    return path


def to_csv(results: Results) -> str:
    """Return the table of a run as CSV, with an empty field for a value that a call lacks."""
    header, columns = _named(results)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(zip(*columns, strict=True))
    return text.getvalue()


def table_rows(results: Results) -> list[dict[str, Any]]:
    """Return the table of a run as a dict per call, with `None` for a value that a call lacks."""
    header, columns = _named(results)
    return [dict(zip(header, row, strict=True)) for row in zip(*columns, strict=True)]


def _named(results: Results) -> tuple[list[str], list[list[Any]]]:
    columns = results._columns()
    first = free_name("call", {one.name for one in columns}, "call")
    numbers = [call.index for call in results]
    return [first, *(one.name for one in columns)], [numbers, *map(_plain_values, columns)]


def _plain_values(column: Column) -> list[Any]:
    """Return the values as Python's, `None` where unknown: their texts are the shortest exact."""
    # `tolist` makes integers of dates with nanoseconds.
    values = column.values.astype(str) if column.values.dtype.kind in "mM" else column.values
    return [
        (value.item() if isinstance(value, np.generic) else value) if known else None
        for value, known in zip(values.tolist(), column.known.tolist(), strict=True)
    ]
