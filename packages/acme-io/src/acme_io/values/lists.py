"""Encode and decode lists and tuples, nested or not, that make one array."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from acme_io.errors import NotStorableError
from acme_io.values.arrays import decode_array, encode_array, encode_unicode_array
from acme_io.values.encoded import MAX_RANK, Array, Encoded
from acme_io.values.scalars import CODES, PYTHON_KINDS

__all__ = ["decode_list", "encode_list"]


def encode_list(value: list[Any]) -> Encoded:
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
        if kind not in PYTHON_KINDS:
            raise refuse
        # NumPy makes floats of ints around 2**63 of both signs: compare what would come back.
        array = np.array(leaves)
        if array.dtype.kind not in "biufc" or not _same(array.tolist(), leaves):
            raise refuse
        return Encoded(array.reshape(depth_shape), ["list", names, kind.__name__])
    if not kinds <= PYTHON_KINDS.keys():
        raise refuse
    # Numbers of several types: one letter per leaf restores its type.
    codes = "".join(PYTHON_KINDS[type(leaf)] for leaf in leaves)
    array = np.array(leaves)
    if array.dtype.kind not in "biufc" or not _same(_restore(array, codes), leaves):
        raise refuse
    return Encoded(array.reshape(depth_shape), ["list", names, "mixed", codes])


def _encode_text_list(leaves: list[Any], shape: tuple[int, ...], names: str) -> Encoded:
    array = np.array(leaves)
    # NumPy drops NULs at the end of strings.
    if array.tolist() != leaves:
        raise NotStorableError("HDF5 cannot hold a list of texts that end in NUL.")
    encoded = encode_unicode_array(array.reshape(shape))
    encoded.form = ["list", names, "str"]
    return encoded


def _encode_array_list(leaves: list[Any], shape: tuple[int, ...], names: str) -> Encoded:
    first = leaves[0]
    same = all(a.dtype == first.dtype and a.shape == first.shape for a in leaves)
    if not same or len(shape) + first.ndim > MAX_RANK:
        raise NotStorableError("HDF5 cannot hold a list of arrays that differ in shape or dtype.")
    stacked = np.array(leaves, dtype=first.dtype).reshape(shape + first.shape)
    encoded = encode_array(stacked)
    dtype = encoded.form[1] if isinstance(encoded.form, list) else None
    leaf = "array" if type(first) is np.ndarray else "scalar"
    encoded.form = ["list", names, leaf] if dtype is None else ["list", names, leaf, dtype]
    return encoded


def _unnest(value: Sequence[Any]) -> tuple[list[tuple[type, int]], list[Any]]:
    """Return levels (type, length) and leaves of nested sequences; refuse unequal lengths."""
    levels: list[tuple[type, int]] = [(type(value), len(value))]
    leaves: list[Any] = list(value)
    above = [id(value)]
    while leaves and type(leaves[0]) in (list, tuple):
        # A list that contains itself twice would double its leaves at each of 32 levels.
        if id(leaves[0]) in above:
            raise NotStorableError("HDF5 cannot hold a list that contains itself.")
        above.append(id(leaves[0]))
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
        back.append(CODES[code](number))
    return back


def decode_list(array: Array, names: str, leaf: str, extra: str | None = None) -> Any:
    """Restore nested sequences from their array and the parameters of their form."""
    depth = len(names)
    if leaf in ("array", "scalar"):
        plain = decode_array(array, extra)
        count = math.prod(plain.shape[:depth])
        flat = plain.reshape((count, *plain.shape[depth:]))
        # Copies: views would keep the whole stack in memory and share changes.
        leaves = [flat[i, ...].copy() if leaf == "array" else flat[i] for i in range(count)]
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
