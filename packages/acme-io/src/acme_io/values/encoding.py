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

# H5S_MAX_RANK. NumPy 2 allows 64.
MAX_RANK = 32
"""Largest number of dimensions of an HDF5 dataset."""

# Exact types, compared with `type(value)`: a subclass such as `IntEnum` would lose its class.
_PYTHON_KINDS = {bool: "b", int: "i", float: "f", complex: "c"}
_CODES = {"b": bool, "i": int, "f": float, "c": complex}


@dataclass
class Encoded:
    """One array that HDF5 can hold, and its form.

    Attributes
    ----------
    array : numpy.ndarray or None
        None stands for a null dataspace.
    form : str or list
        The form of the value.
    text : bool
        Whether strings are UTF-8 text instead of arbitrary bytes.
    """

    array: Array | None
    form: Form
    text: bool = False


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
    if kind in _PYTHON_KINDS:
        return _encode_python_number(value)
    if kind is str:
        return _encode_text(value)  # type: ignore[arg-type]
    if kind is bytes:
        return _encode_bytes(value)  # type: ignore[arg-type]
    if isinstance(value, np.generic):
        array = np.asarray(value)
        # A structured scalar may be a view into a larger array; `asarray` takes its element only.
        return _wrap(_encode_array(array), "scalar")
    # Not other subclasses: a masked array would lose its mask, a matrix its rules of arithmetic. A
    # memmap is stored as a plain array, since its own file may be gone when the results are read.
    if kind is np.ndarray or kind is np.memmap:
        return _encode_array(np.asarray(value))
    if kind is list:
        return _encode_list(value)  # type: ignore[arg-type]
    raise NotStorableError(f"HDF5 cannot hold a value of type {kind.__module__}.{kind.__name__}.")


def _encode_python_number(value: Any) -> Encoded:
    # NumPy makes an int64 or uint64 of an int that fits and an object array of a larger one; some
    # versions raise instead.
    try:
        array = np.array(value)
    except OverflowError:
        array = np.empty((), object)
    if array.dtype.kind not in "biufc":
        raise NotStorableError("HDF5 cannot hold an integer of more than 64 bits.")
    return Encoded(array, type(value).__name__)


def _encode_text(value: str) -> Encoded:
    # Strings of fixed length lose NULs at their end and cannot be empty; lone surrogates are not
    # valid UTF-8. Such texts are stored as bytes (uint8).
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
    except UnicodeDecodeError:
        return False
    return True


def _wrap(encoded: Encoded, outer: str) -> Encoded:
    """Replace the head of a form: `["array", …]` becomes `["scalar", …]`."""
    inner = encoded.form
    encoded.form = outer if isinstance(inner, str) else [outer, *inner[1:]]
    return encoded


def _encode_array(array: Array) -> Encoded:
    dtype = array.dtype
    if array.ndim > MAX_RANK:
        raise NotStorableError(f"HDF5 cannot hold an array of {array.ndim} dimensions.")
    # HDF5 has no type for dates and time differences: they are stored as int64 counts of the unit.
    if dtype.kind in "mM":
        little = array.astype(dtype.newbyteorder("<"), copy=False)
        return Encoded(little.view("<i8"), ["array", dtype.str])
    if dtype.kind == "U":
        return _encode_unicode_array(array)
    # HDF5 has no strings of zero bytes.
    if dtype.kind == "S" and dtype.itemsize == 0:
        return Encoded(np.zeros(array.shape, "S1"), ["array", dtype.str])
    if not _holds(dtype):
        raise NotStorableError(f"HDF5 cannot hold an array of dtype {dtype}.")
    # C order from here on: checksums and files must see the same bytes.
    plain = clean_copy(array) if dtype.names is not None else np.ascontiguousarray(array)
    # `ascontiguousarray` turns 0-d arrays into 1-d ones, hence the reshape.
    return Encoded(plain.reshape(array.shape), "array")


def clean_copy(array: Array) -> Array:
    """Copy an array in C order, with zeros in the gaps between the fields of structured elements.

    The gaps are not part of the value but would be part of its checksum.
    """
    # Assignment copies field by field and leaves the gaps of the target alone; `copy` does not
    # promise anything about them.
    if array.dtype.names is None:
        return array.copy()
    copy = np.zeros(array.shape, array.dtype)
    copy[...] = array
    return copy


def _encode_unicode_array(array: Array) -> Encoded:
    if array.dtype.itemsize == 0 or array.size == 0:
        return Encoded(np.zeros(array.shape, "S1"), ["array", array.dtype.str], text=True)
    # NumPy holds four bytes per character (UCS-4), HDF5 UTF-8.
    try:
        raw = np.char.encode(array, "utf-8")
    except UnicodeEncodeError:
        raise NotStorableError("HDF5 cannot hold text with lone surrogates.") from None
    # Only empty strings: HDF5 has no strings of zero bytes.
    if raw.dtype.itemsize == 0:
        raw = np.zeros(array.shape, "S1")
    return Encoded(np.asarray(raw).reshape(array.shape), ["array", array.dtype.str], text=True)


# The translation in h5py takes longer than the encoding of a small array.
_KNOWN_DTYPES: dict[Any, bool] = {}


def _holds(dtype: np.dtype[Any]) -> bool:
    """Whether the dtype survives h5py's translation to an HDF5 type and back."""
    if dtype.hasobject:
        return False
    # Structured dtypes of one size have the same `str`; `repr` tells offsets and alignment too.
    key = (dtype.str, dtype) if dtype.names is None else (repr(dtype), dtype)
    if key not in _KNOWN_DTYPES:
        # A function that invents a dtype per call must not fill the memory of a worker.
        if len(_KNOWN_DTYPES) > 1000:
            _KNOWN_DTYPES.clear()
        # Imported here: values without arrays are encoded without h5py.
        from h5py import h5t

        try:
            back = h5t.py_create(dtype, logical=True).dtype
        except (TypeError, ValueError, RuntimeError):
            _KNOWN_DTYPES[key] = False
        else:
            # The size too: an HDF5 type of no bytes (`V0`) does not exist.
            same_size = back.itemsize == dtype.itemsize > 0
            _KNOWN_DTYPES[key] = back == dtype and same_size
    return _KNOWN_DTYPES[key]


def _encode_list(value: list[Any]) -> Encoded:
    """Encode nested sequences of equal lengths whose leaves are numbers, texts or arrays."""
    levels, leaves = _unnest(value)
    depth_shape = tuple(n for _, n in levels)
    names = "".join("t" if kind is tuple else "l" for kind, _ in levels)
    kinds = set(map(type, leaves))
    refuse = NotStorableError("HDF5 cannot hold a list whose values do not make one array.")
    # Only empty lists. They come back empty whatever the dtype.
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
        # NumPy makes floats of ints around 2**63 of both signs: compare what would come back.
        array = np.array(leaves)
        if array.dtype.kind not in "biufc" or not _same(array.tolist(), leaves):
            raise refuse
        return Encoded(array.reshape(depth_shape), ["list", names, kind.__name__])
    if not kinds <= _PYTHON_KINDS.keys():
        raise refuse
    # Numbers of several types: one letter per leaf restores its type.
    codes = "".join(_PYTHON_KINDS[type(leaf)] for leaf in leaves)
    array = np.array(leaves)
    if array.dtype.kind not in "biufc" or not _same(_restore(array, codes), leaves):
        raise refuse
    return Encoded(array.reshape(depth_shape), ["list", names, "mixed", codes])


def _encode_text_list(leaves: list[Any], shape: tuple[int, ...], names: str) -> Encoded:
    array = np.array(leaves)
    # NumPy drops NULs at the end of strings.
    if array.tolist() != leaves:
        raise NotStorableError("HDF5 cannot hold a list of texts that end in NUL.")
    encoded = _encode_unicode_array(array.reshape(shape))
    encoded.form = ["list", names, "str"]
    return encoded


def _encode_array_list(leaves: list[Any], shape: tuple[int, ...], names: str) -> Encoded:
    first = leaves[0]
    same = all(a.dtype == first.dtype and a.shape == first.shape for a in leaves)
    if not same or len(shape) + first.ndim > MAX_RANK:
        raise NotStorableError("HDF5 cannot hold a list of arrays that differ in shape or dtype.")
    stacked = np.array(leaves, dtype=first.dtype).reshape(shape + first.shape)
    encoded = _encode_array(stacked)
    dtype = encoded.form[1] if isinstance(encoded.form, list) else None
    leaf = "array" if type(first) is np.ndarray else "scalar"
    encoded.form = ["list", names, leaf] if dtype is None else ["list", names, leaf, dtype]
    return encoded


def _unnest(value: Sequence[Any]) -> tuple[list[tuple[type, int]], list[Any]]:
    """Return levels (type, length) and leaves of nested sequences; refuse unequal lengths."""
    levels: list[tuple[type, int]] = [(type(value), len(value))]
    leaves: list[Any] = list(value)
    while leaves and type(leaves[0]) in (list, tuple):
        kind, length = type(leaves[0]), len(leaves[0])
        if any(type(leaf) is not kind or len(leaf) != length for leaf in leaves):
            raise NotStorableError("HDF5 cannot hold a list of sequences of unequal lengths.")
        levels.append((kind, length))
        leaves = [entry for leaf in leaves for entry in leaf]
        if len(levels) > MAX_RANK:
            raise NotStorableError(f"HDF5 cannot hold a list of more than {MAX_RANK} levels.")
    return levels, leaves


def _same(back: list[Any], leaves: list[Any]) -> bool:
    """Whether numbers agree in type and value; NaN equals NaN."""
    return all(
        type(a) is type(b) and (a == b or (a != a and b != b))
        for a, b in zip(back, leaves, strict=True)
    )


def _restore(array: Array, codes: str) -> list[Any]:
    back: list[Any] = []
    for entry, code in zip(array.reshape(-1).tolist(), codes, strict=True):
        number = entry.real if isinstance(entry, complex) and code != "c" else entry
        # An int too large for a float became infinite: `int()` would raise. An empty list equals
        # no leaves, so the caller refuses the value.
        if code in "ib" and isinstance(number, float) and not math.isfinite(number):
            return []
        back.append(_CODES[code](number))
    return back


def decode_value(array: Array | None, form: Form) -> Any:
    """Restore one value from its dataset and its form."""
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
    # The rest undoes `_encode_array` for dtypes that HDF5 lacks: text, empty strings, dates.
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
        # Copies: views would keep the whole stack in memory and share changes.
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
