"""The arrays of pandas columns and indexes: NumPy's dtypes and those of pandas."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from acme_io.errors import NotStorableError
from acme_io.values.arrays import encode_array
from acme_io.values.encoded import Encode, Encoded, EncodedGroup, Form, Node
from acme_io.values.tabular.object_columns import encode_objects
from acme_io.values.tabular.pandas_scalars import decode_zone, encode_zone
from acme_io.values.texts import encode_texts

__all__ = [
    "decode_dates",
    "decode_intervals",
    "decode_nullable",
    "decode_periods",
    "decode_strings",
    "decode_whole_strings",
    "encode_column",
]

_NULLABLE = {
    **dict.fromkeys(("Int8", "Int16", "Int32", "Int64"), pd.arrays.IntegerArray),
    **dict.fromkeys(("UInt8", "UInt16", "UInt32", "UInt64"), pd.arrays.IntegerArray),
    **dict.fromkeys(("Float32", "Float64"), pd.arrays.FloatingArray),
    "boolean": pd.arrays.BooleanArray,
}


def encode_column(column: Any, encode: Encode) -> Node:
    """Encode the values of a `Series` or an `Index`.

    Raises
    ------
    NotStorableError
        HDF5 cannot hold its dtype.
    """
    dtype = column.dtype
    if isinstance(dtype, np.dtype):
        plain = column.to_numpy()
        return encode_objects(plain.tolist(), encode) if dtype.kind == "O" else encode(plain)
    values = column.array
    if isinstance(dtype, pd.DatetimeTZDtype):
        moments = encode_array(np.asarray(values.tz_convert(None)))
        return Encoded(moments.array, ["dates", moments.form[1], encode_zone(dtype.tz)])
    if isinstance(dtype, pd.PeriodDtype):
        # The name is `period[M]`; the text of the frequency itself would be that of dates, `ME`.
        return Encoded(np.asarray(values.asi8, "<i8"), ["periods", dtype.name[7:-1]])
    if isinstance(dtype, pd.CategoricalDtype):
        members = {
            "codes": encode(np.asarray(values.codes)),
            "categories": encode(dtype.categories),
        }
        return EncodedGroup("categorical", members, {"ordered": bool(dtype.ordered)})
    if isinstance(dtype, pd.IntervalDtype):
        sides = {"left": encode(values.left), "right": encode(values.right)}
        return EncodedGroup("intervals", sides, {"closed": dtype.closed})
    if isinstance(dtype, pd.StringDtype):
        return _encode_strings(values, dtype, encode)
    if dtype.name in _NULLABLE and hasattr(dtype, "numpy_dtype"):
        return _encode_nullable(values, dtype, encode)
    raise NotStorableError(f"HDF5 cannot hold a column of the pandas dtype {dtype}.")


def _encode_strings(values: Any, dtype: Any, encode: Encode) -> Node:
    missing = np.asarray(values.isna())
    texts = np.array(values, object)  # a copy
    texts[missing] = ""
    found = encode_texts(texts.tolist())
    # pandas 2 has `NA` only; from 2.3 on `na_value` can be NaN.
    absent = "NA" if dtype.na_value is pd.NA else "nan"
    if not missing.any() and isinstance(found, Encoded):
        found.form = ["strings", dtype.storage, absent]
        return found
    members: dict[str, Node] = {"texts": found}
    if missing.any():
        members["missing"] = encode(missing)
    return EncodedGroup("strings", members, {"storage": dtype.storage, "na": absent})


def _encode_nullable(values: Any, dtype: Any, encode: Encode) -> Node:
    # Not `isna`, which may count NaN as missing too. The numbers under the mask are arbitrary.
    missing = np.array(values._mask)
    numbers = np.array(values._data)
    numbers[missing] = 0
    members = {"values": encode(numbers), "missing": encode(missing)}
    return EncodedGroup("nullable", members, {"dtype": dtype.name})


def decode_dates(moments: Any, zone: Form) -> Any:
    """Restore dates with a time zone."""
    return pd.DatetimeIndex(moments).tz_localize("UTC").tz_convert(decode_zone(zone)).array


def decode_periods(ordinals: Any, freq: str) -> Any:
    """Restore periods."""
    return pd.arrays.PeriodArray(ordinals, dtype=pd.PeriodDtype(freq))


def decode_nullable(form: Mapping[str, Form], members: dict[str, Any]) -> Any:
    """Restore a column of nullable numbers or bools."""
    return _NULLABLE[form["dtype"]](members["values"], members["missing"])


def decode_categorical(form: Mapping[str, Form], members: dict[str, Any]) -> Any:
    """Restore a column of categories."""
    dtype = pd.CategoricalDtype(members["categories"], ordered=form["ordered"])
    return pd.Categorical.from_codes(members["codes"], dtype=dtype)


def decode_intervals(form: Mapping[str, Form], members: dict[str, Any]) -> Any:
    """Restore a column of intervals."""
    return pd.arrays.IntervalArray.from_arrays(
        members["left"], members["right"], closed=form["closed"]
    )


def string_dtype(storage: str, absent: str) -> Any:
    """Return a dtype for texts, stored in another way if pyarrow is not installed here."""
    more = {} if absent == "NA" else {"na_value": np.nan}
    try:
        return pd.StringDtype(storage, **more)
    except ImportError:
        return pd.StringDtype("python", **more)


def decode_strings(form: Mapping[str, Form], members: dict[str, Any]) -> Any:
    """Restore a column of texts."""
    texts = members["texts"]
    if "missing" in members:
        texts[members["missing"]] = None
    return decode_whole_strings(texts, form["storage"], form["na"])


def decode_whole_strings(texts: Any, storage: str, absent: str) -> Any:
    """Restore a column of texts without missing ones."""
    return pd.array(texts, dtype=string_dtype(storage, absent))
