"""Encode return values as arrays that HDF5 can hold, and decode them.

`encode` turns a return value into arrays and a *form*: a small JSON-able description from which
`decode` restores the value with its exact type. The form is part of the call's record; without it,
readers still see plain datasets.

The form of a call is a dict with `returned` (`"one"`, `"tuple"` or `"list"`) and `values`, one form
per dataset. The form of a value is a text (`"int"`, `"array"` …) or a list of such a text and the
parameters to decode it.

Values that no form restores exactly raise `NotStorableError`; callers pickle those.
"""

import collections
from collections.abc import Sequence
from typing import Any

import numpy as np

from acme_io.errors import NotStorableError
from acme_io.values.arrays import decode_array, encode_array
from acme_io.values.encoded import Array, Encoded, Form
from acme_io.values.lists import decode_list, encode_list
from acme_io.values.scalars import (
    PYTHON_KINDS,
    decode_number,
    decode_text,
    encode_bytes,
    encode_number,
    encode_text,
)

__all__ = ["decode", "decode_value", "encode", "encode_value"]


def encode(value: object) -> tuple[list[Encoded], dict[str, Form]]:
    """Encode the return value of a call.

    Parameters
    ----------
    value : object
        The return value. A tuple is several values; a list is one value if it makes one array of
        numbers, texts or arrays, several otherwise.

    Returns
    -------
    encoded : list of Encoded
        One array per value, in order. A single scalar or text has shape (1,), several have ().
    form : dict
        The form of the call.

    Raises
    ------
    NotStorableError
        If HDF5 cannot hold one of the values.
    """
    # Other subclasses of tuple cannot be restored and are refused below.
    if isinstance(value, tuple) and (type(value) is tuple or hasattr(value, "_fields")):
        form: dict[str, Form] = {"returned": "tuple"}
        if type(value) is not tuple:
            form["named"] = [type(value).__name__, list(value._fields)]  # type: ignore[attr-defined]
        return _encode_several(value, form)
    if type(value) is list:
        try:
            return _encode_one(value)
        except NotStorableError:
            return _encode_several(value, {"returned": "list"})
    return _encode_one(value)


def decode(arrays: Sequence[Array | None], form: dict[str, Form]) -> Any:
    """Restore the return value of a call from its datasets and its form."""
    values = [decode_value(a, f) for a, f in zip(arrays, form["values"], strict=True)]
    if form["returned"] == "one":
        return values[0]
    if form["returned"] == "list":
        return values
    if "named" in form:
        # A class of the same name and fields: the original one may not be importable here.
        name, fields = form["named"]
        return collections.namedtuple(name, fields)(*values)
    return tuple(values)


def _encode_one(value: object) -> tuple[list[Encoded], dict[str, Form]]:
    one = encode_value(value)
    # The user guide shows a single number as `[18]`: one element, not a scalar dataset. A 0-d array
    # that was returned stays one.
    if one.array is not None and one.array.ndim == 0 and _head(one.form) != "array":
        one.array = one.array.reshape(1)
    return [one], {"returned": "one", "values": [one.form]}


def _head(form: Form) -> str:
    return str(form[0] if isinstance(form, list) else form)


def _encode_several(
    values: Sequence[object], form: dict[str, Form]
) -> tuple[list[Encoded], dict[str, Form]]:
    encoded = [encode_value(value) for value in values]
    form["values"] = [one.form for one in encoded]
    return encoded, form


def encode_value(value: object) -> Encoded:
    """Encode one value; scalars become 0-d arrays.

    Raises
    ------
    NotStorableError
        If HDF5 cannot hold the value, with the reason.
    """
    if value is None:
        return Encoded(None, "none")
    kind = type(value)
    if kind in PYTHON_KINDS:
        return encode_number(value)
    if kind is str:
        return encode_text(value)  # type: ignore[arg-type]
    if kind is bytes:
        return encode_bytes(value)  # type: ignore[arg-type]
    if isinstance(value, np.generic):
        array = np.asarray(value)
        # A structured scalar may be a view into a larger array; `asarray` takes its element only.
        return _wrap(encode_array(array), "scalar")
    # Not other subclasses: a masked array would lose its mask, a matrix its rules of arithmetic. A
    # memmap is stored as a plain array, since its own file may be gone when the results are read.
    if kind is np.ndarray or kind is np.memmap:
        return encode_array(np.asarray(value))
    if kind is list:
        return encode_list(value)  # type: ignore[arg-type]
    raise NotStorableError(f"HDF5 cannot hold a value of type {kind.__module__}.{kind.__name__}.")


def _wrap(encoded: Encoded, outer: str) -> Encoded:
    """Replace the head of a form: `["array", …]` becomes `["scalar", …]`."""
    inner = encoded.form
    encoded.form = outer if isinstance(inner, str) else [outer, *inner[1:]]
    return encoded


def decode_value(array: Array | None, form: Form) -> Any:
    """Restore one value from its dataset and its form."""
    head, *rest = form if isinstance(form, list) else [form]
    if head == "none" or array is None:
        return None
    if head in ("bool", "int", "float", "complex"):
        return decode_number(array)
    if head in ("str", "bytes"):
        return decode_text(array, head, as_bytes=bool(rest))
    if head == "list":
        return decode_list(array, *rest)
    plain = decode_array(array, rest[0] if rest else None)
    if head == "scalar":
        return plain.reshape(())[()] if plain.dtype.names is None else plain.reshape(-1)[0]
    return plain
