"""`DataArray` and `Dataset` of xarray."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from xarray.indexes import PandasIndex, PandasMultiIndex

from acme_io.errors import NotStorableError
from acme_io.values.encoded import Encode, EncodedGroup, Form, Node
from acme_io.values.names import member_name
from acme_io.values.tabular.object_columns import encode_objects
from acme_io.values.tabular.pandas_columns import encode_column

__all__ = [
    "decode_data_array",
    "decode_dataset",
    "decode_variable",
    "encode_data_array",
    "encode_dataset",
]


def encode_data_array(array: Any, encode: Encode) -> Node:
    """Encode a `DataArray`: its variable, its coordinates, its name."""
    members: dict[str, Node] = {"variable": _encode_variable(array.variable, encode)}
    _add_coordinates(array, members, encode)
    more: dict[str, Form] = {}
    if type(array.name) is str:
        more["name"] = array.name
    elif array.name is not None:
        members["name"] = encode(array.name)
    return EncodedGroup("data_array", members, more)


def encode_dataset(dataset: Any, encode: Encode) -> Node:
    """Encode a `Dataset`: its variables, its coordinates, its attributes."""
    members = {"variables": _encode_variables(dataset.data_vars, encode)}
    _add_coordinates(dataset, members, encode)
    if dataset.attrs:
        members["attrs"] = encode(dict(dataset.attrs))
    return EncodedGroup("dataset", members)


def _encode_variables(found: Mapping[Any, Any], encode: Encode) -> Node:
    keys = list(found)
    for key in keys:
        _check_text(key)
    names = [member_name(key) for key in keys]
    arrays = zip(names, found.values(), strict=True)
    members = {name: _encode_variable(array.variable, encode) for name, array in arrays}
    return EncodedGroup("dict", members, {} if names == keys else {"keys": keys})


def _check_text(name: Any) -> None:
    if type(name) is not str:
        raise NotStorableError(
            f"HDF5 cannot hold a variable or dimension named {name!r:.60}: names must be text."
        )


def _encode_variable(variable: Any, encode: Encode) -> Node:
    if variable.chunks is not None:
        raise NotStorableError(
            "HDF5 cannot hold an array that dask has yet to compute: return array.compute()."
        )
    for dim in variable.dims:
        _check_text(dim)
    more: dict[str, Form] = {"dims": list(variable.dims)}
    data = variable.data
    if data.dtype == object and isinstance(variable, xr.IndexVariable):
        # Dates with a zone, which releases before 2025 show as objects.
        index = variable.to_index()
        data = index.array if isinstance(index.dtype, pd.DatetimeTZDtype) else data
    # Releases before 2025 wrap the arrays of pandas.
    if type(data).__name__ == "PandasExtensionArray":
        data = data.array
    if isinstance(data, pd.api.extensions.ExtensionArray):
        members = {"values": encode_column(pd.Series(data), encode)}
    elif type(data) is not np.ndarray:
        raise NotStorableError(f"HDF5 cannot hold an array of type {type(data).__name__}.")
    elif data.dtype.kind == "O":
        members = {"values": encode_objects(list(data.reshape(-1)), encode)}
        more["shape"] = list(data.shape)
    else:
        members = {"values": encode(data)}
    if variable.attrs:
        members["attrs"] = encode(dict(variable.attrs))
    return EncodedGroup("variable", members, more)


def _add_coordinates(value: Any, members: dict[str, Node], encode: Encode) -> None:
    """Add the coordinates, and the multi-indexes that span several of them."""
    multi: dict[str, Node] = {}
    levels: set[Any] = set()
    indexes = dict(value.xindexes)
    for name, index in indexes.items():
        if type(index) is PandasMultiIndex:
            levels.add(name)
            if name == index.dim:
                multi[name] = _encode_multi_index(value, index, encode)
        elif type(index) is not PandasIndex or index.dim != name:
            raise NotStorableError(
                f"HDF5 cannot hold the index of the coordinate {name!r:.60}, of type "
                f"{type(index).__name__}."
            )
    for name in value.coords:
        # xarray makes an index of each coordinate named like its dimension.
        if name in value.dims and name not in indexes:
            raise NotStorableError(f"HDF5 cannot hold the coordinate {name!r:.60} without index.")
    coords = {name: found for name, found in value.coords.items() if name not in levels}
    if coords:
        members["coords"] = _encode_variables(coords, encode)
    if multi:
        # By number: the name of the dimension is in the form.
        by_number = {str(at): node for at, node in enumerate(multi.values())}
        members["indexes"] = EncodedGroup("list", by_number)


def _encode_multi_index(value: Any, index: Any, encode: Encode) -> Node:
    """Encode a multi-index, from which a reader makes the coordinates of its levels."""
    dtypes: dict[str, str] = {}
    attrs: dict[str, Any] = {}
    for name, dtype in index.level_coords_dtype.items():
        _check_text(name)
        if not isinstance(dtype, np.dtype):
            raise NotStorableError(
                f"HDF5 cannot hold the coordinate {name!r:.60} of a multi-index, of dtype {dtype}."
            )
        dtypes[name] = dtype.str
    for name in (index.dim, *dtypes):
        if value.coords[name].attrs:
            attrs[name] = dict(value.coords[name].attrs)
    _check_text(index.dim)
    members: dict[str, Node] = {"index": encode(index.index)}
    if attrs:
        members["attrs"] = encode(attrs)
    more: dict[str, Form] = {"dim": index.dim, "dtypes": dtypes}
    return EncodedGroup("level_coordinates", members, more)


def decode_variable(form: Mapping[str, Form], members: dict[str, Any]) -> Any:
    """Restore a variable."""
    values = members["values"]
    if "shape" in form:
        values = values.reshape(form["shape"])
    # Of dates with a zone, xarray keeps those in an index and makes objects of the others.
    if isinstance(getattr(values, "dtype", None), pd.DatetimeTZDtype):
        values = pd.Index(values)
    return xr.Variable(form["dims"], values, members.get("attrs"))


def decode_data_array(form: Mapping[str, Form], members: dict[str, Any]) -> Any:
    """Restore a `DataArray`."""
    variable = members["variable"]
    name = members["name"] if "name" in members else form.get("name")
    array = xr.DataArray(variable, coords=members.get("coords"), name=name)
    return _with_indexes(array, members)


def decode_dataset(form: Mapping[str, Form], members: dict[str, Any]) -> Any:
    """Restore a `Dataset`."""
    dataset = xr.Dataset(members["variables"], members.get("coords"), members.get("attrs"))
    return _with_indexes(dataset, members)


def _with_indexes(value: Any, members: dict[str, Any]) -> Any:
    for coordinates in members.get("indexes", []):
        value = value.assign_coords(coordinates)
    return value


def decode_level_coordinates(form: Mapping[str, Form], members: dict[str, Any]) -> Any:
    """Restore the coordinates of the levels of a multi-index."""
    dtypes = {name: np.dtype(text) for name, text in form["dtypes"].items()}
    index = PandasMultiIndex(members["index"], form["dim"], level_coords_dtype=dtypes)
    variables = index.create_variables()
    for name, attrs in members.get("attrs", {}).items():
        variables[name].attrs = attrs
    return xr.Coordinates(variables, indexes=dict.fromkeys(variables, index))
