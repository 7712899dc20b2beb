"""Summaries of arguments: small, JSON-able, and comparable between runs.

A scalar or a short string is its own summary. Anything else is summarised by type, shape, dtype and
digest. The digest is canonical for arrays, numbers, text, and lists, (named) tuples, sets and dicts
of these: equal values have equal digests on any machine and in any process. Other objects have no
digest (`None`): they are *not comparable*.
"""

import hashlib
import math
import struct
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

__all__ = ["describe", "describe_all", "digest"]

# A path or a short description fits; records stay at some hundred bytes per call.
LONGEST_TEXT = 200
"""Longest string that is its own summary, in characters."""


class _Hash(Protocol):
    def update(self, data: Any, /) -> None: ...


class _NotComparableError(Exception):
    """An object whose content has no canonical form."""


def describe_all(arguments: Mapping[str, object]) -> dict[str, object]:
    """Summarise every argument of a call; see `describe`."""
    return {str(name): describe(value) for name, value in arguments.items()}


def describe(value: object) -> object:
    """Summarise one argument.

    Parameters
    ----------
    value : object
        Anything.

    Returns
    -------
    object
        The value itself if it is a finite number, a bool, None or a printable string of at most
        200 characters; else a dict with `type`, `digest` (None: not comparable) and, where the
        value has them, `shape`, `dtype`, `length` and `value` (its text).
    """
    # Integers beyond 2**53 and non-finite floats are not portable JSON: many parsers read all
    # numbers as doubles, and NaN is not part of the standard.
    kind = type(value)
    if value is None or kind is bool or (kind is int and -(2**53) <= value <= 2**53):  # type: ignore[operator]
        return value
    if kind is float and math.isfinite(value):  # type: ignore[arg-type]
        return value
    if kind is str and len(value) <= LONGEST_TEXT and value.isprintable():  # type: ignore[arg-type, attr-defined]
        return value
    summary: dict[str, object] = {"type": f"{kind.__module__}.{kind.__qualname__}"}
    if isinstance(value, (np.ndarray, np.generic)):
        summary |= {"shape": list(value.shape), "dtype": _dtype_text(value.dtype)}
    elif isinstance(value, (str, bytes, list, tuple, dict, set, frozenset, range)):
        summary["length"] = len(value)
    if isinstance(value, (int, float, complex, np.generic)) and len(text := str(value)) <= 100:
        summary["value"] = text
    summary["digest"] = digest(value)
    return summary


def digest(value: object) -> str | None:
    """Return the canonical digest of a value, 32 hexadecimal digits; None if not comparable.

    BLAKE2b with 16 bytes over a type-tagged, length-prefixed serialisation.
    """
    # Digests of earlier runs are compared with those of a resumed one: the serialisation must not
    # change. Pickles would not do, as equal values may have different ones.
    state = hashlib.blake2b(digest_size=16)
    try:
        _feed(state, value)
    except (_NotComparableError, RecursionError):
        return None
    return state.hexdigest()


def _dtype_text(dtype: np.dtype[Any]) -> str:
    return dtype.str if dtype.names is None else str(dtype.descr)


def _frame(state: _Hash, tag: bytes, body: bytes) -> None:
    # With its length in front, no value is the beginning of another: ["ab"] is not ["a", "b"].
    state.update(tag + struct.pack("<Q", len(body)))
    state.update(body)


def _feed(state: _Hash, value: object) -> None:
    # Exact types: a subclass may define its own equality.
    feeder = _FEEDERS.get(type(value))
    if feeder is not None:
        feeder(state, value)
    elif _is_named_tuple(value):
        # Such as a row of a table, whose class is made anew in each process.
        _frame(state, b"named", b"")
        _feed_sequence(state, type(value)._fields)  # type: ignore[attr-defined]
        _feed_sequence(state, tuple(value))  # type: ignore[arg-type]
    elif isinstance(value, np.generic):
        _feed_array(state, np.asarray(value), b"s")
    else:
        raise _NotComparableError


def _is_named_tuple(value: object) -> bool:
    # Nothing but the fields: a class derived from one may have attributes besides.
    kind = type(value)
    return kind.__bases__ == (tuple,) and hasattr(kind, "_fields") and kind.__eq__ is tuple.__eq__


def _feed_array(state: _Hash, array: np.ndarray[Any, Any], tag: bytes = b"a") -> None:
    # Objects would be hashed by address; structured dtypes may have gaps of arbitrary content; the
    # variable-length strings of NumPy 2 (T) lie outside the array.
    if array.dtype.hasobject or array.dtype.kind in "VT":
        raise _NotComparableError
    # Byte order and memory order are not part of the value.
    plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    _frame(state, tag, f"{plain.dtype.str}{array.shape}".encode())
    state.update(plain.reshape(-1).view(np.uint8).data if plain.size else b"")


def _feed_sequence(state: _Hash, value: Any) -> None:
    _frame(state, type(value).__name__.encode(), struct.pack("<Q", len(value)))
    for entry in value:
        _feed(state, entry)


def _feed_unordered(state: _Hash, parts: list[bytes], tag: bytes) -> None:
    # Sorted by digest: sets have no order that is the same in all processes (hash randomisation),
    # and their elements may not be comparable.
    _frame(state, tag, b"".join(sorted(parts)))


def _bytes_digest(value: object) -> bytes:
    state = hashlib.blake2b(digest_size=16)
    _feed(state, value)
    return state.digest()


def _feed_dict(state: _Hash, value: dict[Any, Any]) -> None:
    parts = [_bytes_digest(key) + _bytes_digest(entry) for key, entry in value.items()]
    _feed_unordered(state, parts, b"dict")


def _feed_set(state: _Hash, value: Any) -> None:
    _feed_unordered(state, [_bytes_digest(entry) for entry in value], type(value).__name__.encode())


_FEEDERS: dict[type, Callable[[_Hash, Any], None]] = {
    type(None): lambda state, _: _frame(state, b"none", b""),
    bool: lambda state, v: _frame(state, b"bool", bytes([v])),
    int: lambda state, v: _frame(state, b"int", hex(v).encode()),
    float: lambda state, v: _frame(state, b"float", struct.pack("<d", v)),
    complex: lambda state, v: _frame(state, b"complex", struct.pack("<dd", v.real, v.imag)),
    str: lambda state, v: _frame(state, b"str", v.encode("utf-8", "surrogatepass")),
    bytes: lambda state, v: _frame(state, b"bytes", v),
    range: lambda state, v: _frame(state, b"range", repr(v).encode()),
    np.ndarray: _feed_array,
    list: _feed_sequence,
    tuple: _feed_sequence,
    dict: _feed_dict,
    set: _feed_set,
    frozenset: _feed_set,
}
