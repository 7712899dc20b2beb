"""NumPy's masked arrays."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from acme_io.values.encoded import Encode, EncodedGroup, Form, Node

__all__ = ["decode_masked", "encode_masked"]


def encode_masked(value: Any, encode: Encode) -> Node:
    """Encode a masked array: its data, its mask and fill value if it has any."""
    members = {"data": encode(np.asarray(value.data))}
    if value.mask is not np.ma.nomask:
        members["mask"] = encode(np.asarray(value.mask))
    # None unless it was set or asked for. The default of small integers does not fit their dtype.
    fill = value._fill_value
    if fill is not None and fill.dtype == value.dtype:
        members["fill_value"] = encode(np.asarray(fill))
    return EncodedGroup("masked", members, {"hard": value.hardmask})


def decode_masked(form: Mapping[str, Form], members: dict[str, Any]) -> Any:
    """Restore a masked array."""
    return np.ma.MaskedArray(
        members["data"],
        members.get("mask", np.ma.nomask),
        fill_value=members.get("fill_value"),
        hard_mask=form["hard"],
    )
