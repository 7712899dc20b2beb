"""`Series` and `DataFrame` of pandas."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from acme_io.errors import NotStorableError
from acme_io.values.encoded import Encode, EncodedGroup, Form, Node
from acme_io.values.names import member_name
from acme_io.values.tabular.pandas_columns import encode_column, string_dtype
from acme_io.values.tabular.pandas_index import encode_index, encode_name, take_name

__all__ = ["decode_frame", "decode_series", "encode_frame", "encode_series"]

# A dataset per column costs HDF5 some 20 µs and 300 bytes. Frames of many columns of one dtype are
# matrices, and one dataset.
_MOST_COLUMNS = 64


def encode_series(series: Any, encode: Encode) -> Node:
    """Encode a `Series`."""
    members: dict[str, Node] = {"values": encode_column(series, encode)}
    more: dict[str, Form] = {}
    encode_name("name", series.name, members, more, encode)
    _add_common(series, members, encode)
    return EncodedGroup("series", members, more)


def _add_common(value: Any, members: dict[str, Node], encode: Encode) -> None:
    """Add index and attributes of a frame or series."""
    if not value.flags.allows_duplicate_labels:
        raise NotStorableError("HDF5 cannot hold the flag that forbids duplicate labels.")
    if not _is_default(value.index):
        members["index"] = encode_index(value.index, encode)
    if value.attrs:
        members["attrs"] = encode(value.attrs)


def _is_default(index: Any) -> bool:
    """Whether an index counts rows from 0, as frames have it that were given none."""
    if type(index) is not pd.RangeIndex or index.name is not None:
        return False
    return bool(index.start == 0 and index.step == 1)


def encode_frame(frame: Any, encode: Encode) -> Node:
    """Encode a `DataFrame`: a member per column, named like the column if that is a text."""
    more: dict[str, Form] = {"shape": list(frame.shape)}
    members: dict[str, Node] = {}
    if _is_matrix(frame):
        members["values"] = encode(frame.to_numpy())
        members["labels"] = encode_index(frame.columns, encode)
    else:
        _add_columns(frame, members, more, encode)
    _add_common(frame, members, encode)
    return EncodedGroup("frame", members, more)


def _is_matrix(frame: Any) -> bool:
    """Whether a frame has many columns, all numbers of one dtype."""
    dtypes = set(frame.dtypes) if frame.shape[1] > _MOST_COLUMNS else set()
    if len(dtypes) != 1:
        return False
    dtype = dtypes.pop()
    return isinstance(dtype, np.dtype) and dtype.kind in "biufc"


def _add_columns(
    frame: Any, members: dict[str, Node], more: dict[str, Form], encode: Encode
) -> None:
    """Add a member per column, and the labels as far as the names of these do not tell them."""
    labels = frame.columns
    names = [str(at) for at in range(len(labels))]
    keys: dict[str, Form] = {}
    texts = list(labels) if type(labels) is pd.Index else []
    if texts and all(type(one) is str for one in texts) and labels.is_unique:
        names = [member_name(one) for one in texts]
        keys = {} if names == texts else {"keys": texts}
        more["labels"] = _dtype_of_labels(labels)
        encode_name("labels_name", labels.name, members, more, encode)
    elif not _is_default(labels):
        members["labels"] = encode_index(labels, encode)
    by_name = zip(names, frame.items(), strict=True)
    columns = {name: encode_column(column, encode) for name, (_, column) in by_name}
    members["columns"] = EncodedGroup("columns", columns, keys)


def _dtype_of_labels(labels: Any) -> Form:
    """Return the form of the dtype of labels that are texts."""
    dtype = labels.dtype
    if isinstance(dtype, np.dtype):
        return "object"
    return [dtype.storage, "NA" if dtype.na_value is pd.NA else "nan"]


def decode_series(form: Mapping[str, Form], members: dict[str, Any]) -> Any:
    """Restore a `Series`."""
    values = members["values"]
    series = pd.Series(
        values,
        index=members.get("index"),
        dtype=values.dtype,
        name=take_name("name", form, members),
        copy=False,
    )
    if "attrs" in members:
        series.attrs = members["attrs"]
    return series


def decode_frame(form: Mapping[str, Form], members: dict[str, Any]) -> Any:
    """Restore a `DataFrame`."""
    n_rows, n_columns = form["shape"]
    index = members.get("index", pd.RangeIndex(n_rows))
    labels = _labels(form, members, n_columns)
    if "values" in members:
        frame = pd.DataFrame(members["values"], index=index, columns=labels)
    else:
        # By number, as labels may repeat. Objects as series: pandas 3 would make a column of texts
        # of objects that are all text.
        columns = {
            at: pd.Series(column, index=index, dtype=object) if column.dtype == object else column
            for at, column in enumerate(members["columns"].values())
        }
        frame = pd.DataFrame(columns, index=index)
        frame.columns = labels
    if "attrs" in members:
        frame.attrs = members["attrs"]
    return frame


def _labels(form: Mapping[str, Form], members: dict[str, Any], n_columns: int) -> Any:
    if "labels" in members:
        return members["labels"]
    if "labels" not in form:
        return pd.RangeIndex(n_columns)
    dtype = object if form["labels"] == "object" else string_dtype(*form["labels"])
    name = take_name("labels_name", form, members)
    return pd.Index(list(members["columns"]), dtype=dtype, name=name)
