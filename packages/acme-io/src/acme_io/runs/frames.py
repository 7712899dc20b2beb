"""Results as objects of pandas and xarray, which are imported only here and only when needed."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from acme_io.runs.reading import RunReader
from acme_io.runs.selection import Calls, numbers_of
from acme_io.runs.tables import table_columns

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["to_pandas"]


def optional(name: str, user: str) -> Any:
    """Import an optional dependency of acme-io.

    Raises
    ------
    ImportError
        It is not installed; the message says how to install it.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(
            f'{user} needs {name}, which is not installed ({error}): pip install "acme-io[{name}]"'
        ) from error


def to_pandas(reader: RunReader, calls: Calls) -> "pd.DataFrame":
    """Return a table with a row per call; see `Results.to_pandas`."""
    pandas = optional("pandas", "to_pandas")
    columns = {one.name: one.filled() for one in table_columns(reader, calls)}
    return pandas.DataFrame(columns, index=pandas.Index(numbers_of(calls), name="call"))
