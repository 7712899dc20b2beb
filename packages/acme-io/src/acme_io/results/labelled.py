"""Results as a data set of xarray: arrays with named dimensions and coordinates.

xarray is imported by the caller and handed over: this module works on its objects, and NumPy's.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

import numpy as np

from acme_io.records.call_record import DONE, PICKLED, STATUS_NAMES
from acme_io.records.grid import Grid
from acme_io.results.columns import Column, column_of, fill
from acme_io.results.leaves import leaves_in, named_values
from acme_io.results.selection import Calls, numbers_of
from acme_io.results.stacking import stack_intact
from acme_io.results.tables import alike, argument_columns, free_name, renamed
from acme_io.runs.reading import RunReader

__all__ = ["Dims", "dataset_of"]

Array = np.ndarray[Any, Any]
Dims: TypeAlias = Sequence[str] | Mapping[str, Sequence[str]] | None


def dataset_of(xarray: Any, reader: RunReader, calls: Calls, grid: Grid | None, dims: Dims) -> Any:
    """Return the results of some calls as a data set; see `Results.to_xarray`."""
    axes: tuple[str, ...] = ("call",) if grid is None else grid.names
    shape: tuple[int, ...] = (len(calls),) if grid is None else grid.shape
    coordinates = _coordinates(reader, calls, grid, axes, shape)
    results = renamed(_results(xarray, reader, calls), set(axes) | set(coordinates), "result")
    variables = {}
    for one in results:
        own, labels = _own_dims(one, axes, dims)
        rows = fill(np.asarray(one.values), one.known)
        data = rows.reshape(shape + rows.shape[1:])
        labels = {name: label for name, label in labels.items() if name not in coordinates}
        variables[one.name] = xarray.DataArray(data, dims=(*axes, *own), coords=labels)
    run = reader.source.run
    started = datetime.fromtimestamp(run.started, UTC).isoformat(timespec="seconds")
    about = {"function": run.function, "run": run.run_id, "started": started}
    return xarray.Dataset(variables, coords=coordinates, attrs=about)


def _coordinates(
    reader: RunReader,
    calls: Calls,
    grid: Grid | None,
    axes: tuple[str, ...],
    shape: tuple[int, ...],
) -> dict[str, Any]:
    """Return the values of the axes, of all other arguments, and the status of the calls."""
    numbers = numbers_of(calls)
    found: dict[str, Any] = {}
    if grid is None:
        found["call"] = ("call", numbers)
    else:
        for name, values in zip(grid.names, grid.values, strict=True):
            column = column_of(name, values)
            # Of an axis without a value on record, the positions have to do.
            if column.known.any():
                found[name] = (name, column.filled())
    for column in argument_columns(reader, numbers):
        filled = column.filled()
        if grid is None:
            found[free_name(column.name, set(found), "argument")] = ("call", filled)
        elif column.name not in axes:
            # In a grid that is a part of another one, the other arguments have one value.
            found[column.name] = ((), filled[0])
    status = np.array(STATUS_NAMES)[reader.status[numbers]].reshape(shape)
    found[free_name("status", set(found), "call")] = (axes, status)
    return found


def _results(xarray: Any, reader: RunReader, calls: Calls) -> list[Column]:
    """Return a column per result, whose elements may be arrays."""
    numbers = numbers_of(calls)
    status = reader.status[numbers]
    if alike(reader, numbers):
        stacked = _stacked(reader, calls, int(numbers[status == DONE][0]))
        if stacked is not None:
            return stacked
    found: dict[str, dict[int, Any]] = {}
    for at in np.flatnonzero(np.isin(status, (DONE, PICKLED))).tolist():
        value, _ = reader.values_and_arguments(int(numbers[at]))
        for name, one in leaves_in(_as_dict(xarray, value)):
            found.setdefault(name, {})[at] = _as_labelled(xarray, one)
    return [_column(xarray, name, rows, len(numbers)) for name, rows in found.items()]


def _stacked(reader: RunReader, calls: Calls, first: int) -> list[Column] | None:
    known = reader.status[numbers_of(calls)] == DONE
    columns = []
    for index, (name, value) in enumerate(named_values(reader.values(first))):
        rows = None if isinstance(value, dict) else stack_intact(reader, calls, index)
        if rows is None:
            return None
        columns.append(Column(name, rows, known))
    return columns


def _as_dict(xarray: Any, value: Any) -> Any:
    return dict(value.data_vars) if isinstance(value, xarray.Dataset) else value


def _as_labelled(xarray: Any, value: Any) -> Any:
    """Return a Series or a DataFrame as an array with the labels of its index and columns."""
    if isinstance(value, np.ma.MaskedArray):
        return fill(np.ma.getdata(value), ~np.ma.getmaskarray(value))
    is_frame = hasattr(value, "to_xarray") and not isinstance(value, xarray.DataArray)
    return xarray.DataArray(value) if is_frame else value


def _column(xarray: Any, name: str, rows: dict[int, Any], n_calls: int) -> Column:
    known = np.zeros(n_calls, bool)
    known[list(rows)] = True
    values = list(rows.values())
    if all(isinstance(value, xarray.DataArray) for value in values):
        # Calls whose labels differ have NaN where others have values.
        joined = xarray.concat(values, "call", join="outer", combine_attrs="drop_conflicts")
        return Column(name, _spread(joined.transpose("call", ...), rows, n_calls), known)
    if all(np.ndim(value) == 0 for value in values):
        return column_of(name, [rows.get(at) for at in range(n_calls)])
    arrays = [_as_array(value) for value in values]
    shapes = {None if array is None else array.shape for array in arrays}
    if len(shapes) == 1 and None not in shapes:
        return Column(name, _spread(np.array(arrays), rows, n_calls), known)
    # Arrays of several shapes stay arrays, one per element.
    objects = np.empty(len(values), object)
    for at, value in enumerate(values):
        objects[at] = value
    return Column(name, _spread(objects, rows, n_calls), known)


def _as_array(value: Any) -> Array | None:
    """Return an array, or a list that makes one without converting its elements; else None."""
    if isinstance(value, np.ndarray):
        return value
    if not isinstance(value, list):
        return None
    try:
        array = np.array(value)
    except ValueError:  # lists of several lengths
        return None
    return array if array.dtype.kind in "biufcmMU" and array.tolist() == value else None


def _spread(values: Any, rows: Mapping[int, Any], n_calls: int) -> Any:
    """Put the values of some calls into the rows of all."""
    if len(rows) == n_calls:
        return values
    places = np.full(n_calls, 0)
    places[list(rows)] = np.arange(len(rows))
    return values[places]


def _own_dims(
    column: Column, axes: tuple[str, ...], dims: Dims
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Return the dimensions of each result, without those of the calls, and their labels."""
    values: Any = column.values
    if hasattr(values, "dims"):
        # xarray calls unnamed dimensions `dim_0` and so on, which are the same in no two results.
        shared = [one for one in values.dims[1:] if one in axes or str(one).startswith("dim_")]
        values = values.rename({one: f"{column.name}_{one}" for one in shared})
        labels = {name: one for name, one in values.coords.items() if "call" not in one.dims}
        return tuple(map(str, values.dims[1:])), labels
    count = values.ndim - 1
    given = dims.get(column.name) if isinstance(dims, Mapping) else dims
    if given is None or not count:
        return tuple(f"{column.name}_dim_{axis}" for axis in range(count)), {}
    names = (given,) if isinstance(given, str) else tuple(given)
    if len(names) != count:
        raise ValueError(
            f"{column.name} has {count} dimensions for each call, dims names {len(names)}: "
            f"{', '.join(names)}. Name the dimensions of each result: "
            f"dims={{{column.name!r}: [...]}}."
        )
    return names, {}
