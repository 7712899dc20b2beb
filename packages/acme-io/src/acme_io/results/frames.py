"""Results as objects of pandas and xarray, which are imported only here and only when needed."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from acme_io.records.grid import Grid
from acme_io.results.labelled import Dims, dataset_of
from acme_io.results.selection import Calls, numbers_of
from acme_io.results.tables import table_columns
from acme_io.runs.reading import RunReader

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["to_pandas", "to_xarray"]


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


def to_xarray(reader: RunReader, calls: Calls, grid: Grid | None, dims: Dims) -> "xr.Dataset":
    """Return a data set with the axes of the grid as dimensions; see `Results.to_xarray`."""
    found: xr.Dataset = dataset_of(optional("xarray", "to_xarray"), reader, calls, grid, dims)
    return found
