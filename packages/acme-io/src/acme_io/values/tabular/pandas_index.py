"""The indexes of pandas."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from pandas.tseries.frequencies import to_offset

from acme_io.errors import NotStorableError
from acme_io.values.encoded import Encode, EncodedGroup, Form, Node
from acme_io.values.tabular.pandas_columns import encode_column

__all__ = ["decode_index", "decode_multi_index", "encode_index", "encode_name", "take_name"]

# Exact types; a subclass would lose its class.
_FLAT = (
    pd.Index,
    pd.CategoricalIndex,
    pd.DatetimeIndex,
    pd.IntervalIndex,
    pd.PeriodIndex,
    pd.TimedeltaIndex,
)


def encode_name(
    key: str, name: Any, members: dict[str, Node], more: dict[str, Form], encode: Encode
) -> None:
    """Store a name: in the form if it is a text or an integer, else as a member."""
    if type(name) in (str, int):
        more[key] = name
    elif name is not None:
        members[key] = encode(name)


def take_name(key: str, form: Mapping[str, Form], members: dict[str, Any]) -> Any:
    """Return a name that `encode_name` stored; None without one."""
    return members[key] if key in members else form.get(key)


def encode_index(index: Any, encode: Encode) -> Node:
    """Encode an index of any class of pandas.

    Raises
    ------
    NotStorableError
        HDF5 cannot hold its dtype, or its frequency has no text.
    """
    if type(index) is pd.MultiIndex:
        return _encode_multi_index(index, encode)
    members: dict[str, Node] = {}
    more: dict[str, Form] = {}
    encode_name("name", index.name, members, more, encode)
    if type(index) is pd.RangeIndex:
        # The values too, for readers without the form.
        members["values"] = encode(np.asarray(index, "<i8"))
        more["range"] = [index.start, index.stop, index.step]
        return EncodedGroup("index", members, more)
    if type(index) not in _FLAT:
        raise NotStorableError(f"HDF5 cannot hold an index of type {type(index).__name__}.")
    members["values"] = encode_column(index, encode)
    freq = getattr(index, "freq", None)
    if freq is not None and type(index) is not pd.PeriodIndex:
        more["freq"] = _freq_text(freq)
    return EncodedGroup("index", members, more)


def _freq_text(freq: Any) -> str:
    text: str = freq.freqstr
    try:
        same = to_offset(text) == freq
    except ValueError:
        same = False
    if not same:
        raise NotStorableError(f"HDF5 cannot hold an index with the frequency {freq!r}.")
    return text


def _encode_multi_index(index: Any, encode: Encode) -> Node:
    members: dict[str, Node] = {}
    more: dict[str, Form] = {}
    for at, (codes, level) in enumerate(zip(index.codes, index.levels, strict=True)):
        members[f"codes_{at}"] = encode(np.asarray(codes))
        # A level carries its name.
        members[f"level_{at}"] = encode_index(level, encode)
    more["sortorder"] = index.sortorder
    return EncodedGroup("multi_index", members, more)


def decode_index(form: Mapping[str, Form], members: dict[str, Any]) -> Any:
    """Restore an index."""
    name = take_name("name", form, members)
    if "range" in form:
        return pd.RangeIndex(*form["range"], name=name)
    values = members["values"]
    freq = form.get("freq")
    if freq is not None:
        kind = pd.DatetimeIndex if values.dtype.kind == "M" else pd.TimedeltaIndex
        return kind(values, freq=freq, name=name)
    # With the dtype: pandas 3 would make a column of texts of objects that are all text.
    return pd.Index(values, dtype=values.dtype, name=name, copy=False)


def decode_multi_index(form: Mapping[str, Form], members: dict[str, Any]) -> Any:
    """Restore a `MultiIndex`."""
    depth = len(members) // 2
    levels = [members[f"level_{at}"] for at in range(depth)]
    return pd.MultiIndex(
        levels=levels,
        codes=[members[f"codes_{at}"] for at in range(depth)],
        names=[level.name for level in levels],
        sortorder=form["sortorder"],
    )
