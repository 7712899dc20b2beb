"""Return values to arrays that HDF5 holds, and back.

`encode` turns what a call returned into named arrays and a *form*: a small JSON-able description
with which `decode` gives back exactly what was returned, with its type. The form lives in the
record; whoever reads the file without it still sees plain datasets.

The form of a call is a dict with `returned` (`"one"`, `"tuple"` or `"list"`) and `values`, one form
per dataset. The form of a value is a text (`"int"`, `"array"` …) or a list that begins with such a
text and goes on with what is needed to decode it.
"""

import collections
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from acme_io.errors import NotStorableError

__all__ = ["Encoded", "Form", "decode", "decode_value", "encode", "encode_value"]

Form = Any
"""A JSON-able description: text, number, or list of these."""

Array = np.ndarray[Any, Any]

MAX_RANK = 32
"""Largest number of dimensions of an HDF5 dataset."""

_PYTHON_KINDS = {bool: "b", int: "i", float: "f", complex: "c"}
_CODES = {"b": bool, "i": int, "f": float, "c": complex}


@dataclass
class Encoded:
    """One array that HDF5 holds; `array` None: a dataset without elements (null space)."""

    array: Array | None
    form: Form
    text: bool = False  # bytes of UTF-8 text instead of arbitrary bytes


def encode(value: object) -> tuple[list[Encoded], dict[str, Form]]:
    """Encode all that one call returned.

    Parameters
    ----------
    value : object
        The return value. A tuple is several return values; a list is one where NumPy makes an
        array of numbers or texts of it, else several.

    Returns
    -------
    encoded : list of Encoded
        One array per return value, in order; a single scalar or text has shape (1,), others () .
    form : dict
        What `decode` needs.

    Raises
    ------
    NotStorableError
        One of the values has no form in HDF5.
    """
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
    """Give back what a call returned from its datasets and its form."""
    values = [decode_value(a, f) for a, f in zip(arrays, form["values"], strict=True)]
    if form["returned"] == "one":
        return values[0]
    if form["returned"] == "list":
        return values
    if "named" in form:
        name, fields = form["named"]
        return collections.namedtuple(name, fields)(*values)
    return tuple(values)


def _encode_one(value: object) -> tuple[list[Encoded], dict[str, Form]]:
    one = encode_value(value)
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
    """Encode one return value; scalars become 0-d arrays.

    Raises
    ------
    NotStorableError
        The value has no form in HDF5; the message says why.
    """
    if value is None:
        return Encoded(None, "none")
    kind = type(value)
    if kind in _PYTHON_KINDS:
        return _encode_python_number(value)
    if kind is str:
        return _encode_text(value)  # type: ignore[arg-type]
    if kind is bytes:
        return _encode_bytes(value)  # type: ignore[arg-type]
    if isinstance(value, np.generic):
        array = np.asarray(value)
        # A structured scalar is a view into an array; only its own dtype is of interest.
        return _wrap(_encode_array(array), "scalar")
    if kind is np.ndarray or kind is np.memmap:
        return _encode_array(np.asarray(value))
    if kind is list:
        return _encode_list(value)  # type: ignore[arg-type]
    raise NotStorableError(
        f"HDF5 has no form for a value of type {kind.__module__}.{kind.__name__}."
    )


def _encode_python_number(value: Any) -> Encoded:
    try:
        array = np.array(value)
    except OverflowError:
        array = np.empty((), object)
    if array.dtype.kind not in "biufc":
        raise NotStorableError("HDF5 has no form for a whole number beyond 64 bits.")
    return Encoded(array, type(value).__name__)


def _encode_text(value: str) -> Encoded:
    raw = value.encode("utf-8", "surrogatepass")
    if not raw or b"\0" in raw or not _is_utf8(raw):
        return Encoded(np.frombuffer(raw, "u1"), ["str", "u1"])
    return Encoded(np.array(raw, f"S{len(raw)}"), "str", text=True)


def _encode_bytes(value: bytes) -> Encoded:
    if not value or b"\0" in value:
        return Encoded(np.frombuffer(value, "u1"), ["bytes", "u1"])
    return Encoded(np.array(value, f"S{len(value)}"), "bytes")


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:  # lone surrogates
        return False
    return True


def _wrap(encoded: Encoded, outer: str) -> Encoded:
    """Put a form around another: `"array"` becomes `"scalar"`, `["array", …]` `["scalar", …]`."""
    inner = encoded.form
    encoded.form = outer if isinstance(inner, str) else [outer, *inner[1:]]
    return encoded


def _encode_array(array: Array) -> Encoded:
    dtype = array.dtype
    if array.ndim > MAX_RANK:
        raise NotStorableError(f"HDF5 has no form for an array of {array.ndim} dimensions.")
    if dtype.kind in "mM":
        little = array.astype(dtype.newbyteorder("<"), copy=False)
        return Encoded(little.view("<i8"), ["array", dtype.str])
    if dtype.kind == "U":
        return _encode_unicode_array(array)
    if dtype.kind == "S" and dtype.itemsize == 0:
        return Encoded(np.zeros(array.shape, "S1"), ["array", dtype.str])
    if not _holds(dtype):
        raise NotStorableError(f"HDF5 has no form for an array with dtype {dtype}.")
    # One order of bytes from here on: checksums and files must see the same.
    plain = clean_copy(array) if dtype.names is not None else np.ascontiguousarray(array)
    return Encoded(plain.reshape(array.shape), "array")


def clean_copy(array: Array) -> Array:
    """Copy an array in C order, with zeros in the gaps between the fields of a structured one.

    What lies there is not part of the value, but would be part of its checksum.
    """
    if array.dtype.names is None:
        return array.copy()
    copy = np.zeros(array.shape, array.dtype)
    copy[...] = array
    return copy


def _encode_unicode_array(array: Array) -> Encoded:
    if array.dtype.itemsize == 0 or array.size == 0:
        return Encoded(np.zeros(array.shape, "S1"), ["array", array.dtype.str], text=True)
    try:
        raw = np.char.encode(array, "utf-8")
    except UnicodeEncodeError:
        raise NotStorableError("HDF5 has no form for text with lone surrogates.") from None
    if raw.dtype.itemsize == 0:
        raw = np.zeros(array.shape, "S1")
    return Encoded(np.asarray(raw).reshape(array.shape), ["array", array.dtype.str], text=True)


_KNOWN_DTYPES: dict[Any, bool] = {}


def _holds(dtype: np.dtype[Any]) -> bool:
    """Whether HDF5 gives back this very dtype, judged by h5py's own translation."""
    if dtype.hasobject:
        return False
    key = (dtype.str, dtype) if dtype.names is None else (repr(dtype), dtype)
    if key not in _KNOWN_DTYPES:
        if len(_KNOWN_DTYPES) > 1000:  # a worker lives long
            _KNOWN_DTYPES.clear()
        from h5py import h5t

        try:
            back = h5t.py_create(dtype, logical=True).dtype
        except (TypeError, ValueError, RuntimeError):
            _KNOWN_DTYPES[key] = False
        else:
            same_size = back.itemsize == dtype.itemsize > 0
            _KNOWN_DTYPES[key] = back == dtype and same_size
    return _KNOWN_DTYPES[key]


def _encode_list(value: list[Any]) -> Encoded:
    """Encode nested lists or tuples of equal length whose leaves are numbers, texts or arrays."""
    levels, leaves = _unnest(value)
    depth_shape = tuple(n for _, n in levels)
    names = "".join("t" if kind is tuple else "l" for kind, _ in levels)
    kinds = set(map(type, leaves))
    refuse = NotStorableError("HDF5 has no form for a list of values that make no plain array.")
    if not kinds:
        return Encoded(np.zeros(depth_shape), ["list", names, "float"])
    if len(kinds) == 1:
        kind = next(iter(kinds))
        if kind is str:
            return _encode_text_list(leaves, depth_shape, names)
        if issubclass(kind, np.generic) or kind is np.ndarray:
            return _encode_array_list(leaves, depth_shape, names)
        if kind not in _PYTHON_KINDS:
            raise refuse
        array = np.array(leaves)
        if array.dtype.kind not in "biufc" or not _same(array.tolist(), leaves):
            raise refuse
        return Encoded(array.reshape(depth_shape), ["list", names, kind.__name__])
    if not kinds <= _PYTHON_KINDS.keys():
        raise refuse
    codes = "".join(_PYTHON_KINDS[type(leaf)] for leaf in leaves)
    array = np.array(leaves)
    if array.dtype.kind not in "biufc" or not _same(_restore(array, codes), leaves):
        raise refuse
    return Encoded(array.reshape(depth_shape), ["list", names, "mixed", codes])


def _encode_text_list(leaves: list[Any], shape: tuple[int, ...], names: str) -> Encoded:
    array = np.array(leaves)
    if array.tolist() != leaves:  # NumPy drops NULs at the end
        raise NotStorableError("HDF5 has no form for a list of texts that end in NUL.")
    encoded = _encode_unicode_array(array.reshape(shape))
    encoded.form = ["list", names, "str"]
    return encoded


def _encode_array_list(leaves: list[Any], shape: tuple[int, ...], names: str) -> Encoded:
    first = leaves[0]
    alike = all(a.dtype == first.dtype and a.shape == first.shape for a in leaves)
    if not alike or len(shape) + first.ndim > MAX_RANK:
        raise NotStorableError(
            "HDF5 has no form for a list of arrays that differ in shape or dtype."
        )
    stacked = np.array(leaves, dtype=first.dtype).reshape(shape + first.shape)
    encoded = _encode_array(stacked)
    dtype = encoded.form[1] if isinstance(encoded.form, list) else None
    leaf = "array" if type(first) is np.ndarray else "scalar"
    encoded.form = ["list", names, leaf] if dtype is None else ["list", names, leaf, dtype]
    return encoded


def _unnest(value: Sequence[Any]) -> tuple[list[tuple[type, int]], list[Any]]:
    """Levels (type, length) and leaves of a rectangular nest; a ragged one is refused."""
    levels: list[tuple[type, int]] = [(type(value), len(value))]
    leaves: list[Any] = list(value)
    while leaves and type(leaves[0]) in (list, tuple):
        kind, length = type(leaves[0]), len(leaves[0])
        if any(type(leaf) is not kind or len(leaf) != length for leaf in leaves):
            raise NotStorableError("HDF5 has no form for a list of sequences of unequal lengths.")
        levels.append((kind, length))
        leaves = [entry for leaf in leaves for entry in leaf]
        if len(levels) > MAX_RANK:
            raise NotStorableError("HDF5 has no form for a list nested that deep.")
    return levels, leaves


def _same(back: list[Any], leaves: list[Any]) -> bool:
    return all(
        type(a) is type(b) and (a == b or (a != a and b != b))
        for a, b in zip(back, leaves, strict=True)
    )


def _restore(array: Array, codes: str) -> list[Any]:
    back: list[Any] = []
    for entry, code in zip(array.reshape(-1).tolist(), codes, strict=True):
        number = entry.real if isinstance(entry, complex) and code != "c" else entry
        if code in "ib" and isinstance(number, float) and not math.isfinite(number):
            return []
        back.append(_CODES[code](number))
    return back


def decode_value(array: Array | None, form: Form) -> Any:
    """Give back one return value from its dataset and its form."""
    head, *rest = form if isinstance(form, list) else [form]
    if head == "none" or array is None:
        return None
    if head in ("bool", "int", "float", "complex"):
        return array.reshape(-1)[0].item()
    if head in ("str", "bytes"):
        raw = array.tobytes() if rest else bytes(array.reshape(-1)[0])
        return raw if head == "bytes" else raw.decode("utf-8", "surrogatepass")
    if head == "list":
        return _decode_list(array, *rest)
    plain = _decode_array(array, rest[0] if rest else None)
    if head == "scalar":
        return plain.reshape(())[()] if plain.dtype.names is None else plain.reshape(-1)[0]
    return plain


def _decode_array(array: Array, dtype_text: str | None) -> Array:
    if dtype_text is None:
        return array
    dtype = np.dtype(dtype_text)
    if dtype.kind == "U":
        if dtype.itemsize == 0 or array.size == 0:
            return np.zeros(array.shape, dtype)
        return np.asarray(np.char.decode(array, "utf-8")).astype(dtype).reshape(array.shape)
    if dtype.kind == "S":
        return np.zeros(array.shape, dtype)
    plain = np.ascontiguousarray(array, "<i8").reshape(array.shape)
    return plain.view(dtype.newbyteorder("<")).astype(dtype, copy=False)


def _decode_list(array: Array, names: str, leaf: str, extra: str | None = None) -> Any:
    depth = len(names)
    if leaf in ("array", "scalar"):
        plain = _decode_array(array, extra)
        count = math.prod(plain.shape[:depth])
        flat = plain.reshape((count, *plain.shape[depth:]))
        leaves = [flat[i].copy() if leaf == "array" else flat[i] for i in range(count)]
    elif leaf == "str":
        leaves = [bytes(raw).decode("utf-8") for raw in array.reshape(-1)]
    elif leaf == "mixed":
        leaves = _restore(array, extra or "")
    else:
        leaves = array.reshape(-1).tolist()
    return _nest(leaves, array.shape[:depth], names)


def _nest(leaves: list[Any], shape: tuple[int, ...], names: str) -> Any:
    if len(shape) > 1:
        step = math.prod(shape[1:])
        leaves = [
            _nest(leaves[i * step : (i + 1) * step], shape[1:], names[1:]) for i in range(shape[0])
        ]
    return tuple(leaves) if names[0] == "t" else leaves
