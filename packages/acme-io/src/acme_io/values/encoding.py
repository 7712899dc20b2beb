"""Encode return values as datasets and groups that HDF5 can hold, and decode them.

`encode` turns a return value into arrays and a *form*: a small JSON-able description from which
`decode` restores the value with its exact type. The form is part of the call's record; without it,
readers still see plain datasets.

The form of a call is a dict with `returned` (`"one"`, `"tuple"` or `"list"`) and `values`, one form
per return value. The form of a dataset is a text (`"int"`, `"array"` …) or a list of such a text
and the parameters to decode it, that of a group a dict with its `kind` and the forms of its
`members`.

Values that no form restores exactly raise `NotStorableError`; callers pickle those.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from acme_io.errors import DamagedFileError, NotStorableError
from acme_io.values.arrays import decode_array, encode_array
from acme_io.values.encoded import Array, Encoded, Form, Node
from acme_io.values.groups import decode_foreign, decode_group, encode_object
from acme_io.values.lists import decode_list, encode_list
from acme_io.values.nests import encode_dict, encode_sequence, is_named_tuple, make_named_tuple
from acme_io.values.scalars import (
    PYTHON_KINDS,
    decode_number,
    decode_text,
    encode_bytes,
    encode_number,
    encode_text,
)
from acme_io.values.texts import decode_texts

__all__ = ["count_places", "decode", "decode_leaf", "decode_one", "encode", "encode_value"]

MAX_DEPTH = 32
"""Levels of groups in a return value."""

# Each member of a group is a dataset, which takes HDF5 some 20 µs and 300 bytes, and a line of the
# call's record. Values of more of them are better pickled.
MAX_MEMBERS = 10_000
"""Members of all groups of a return value."""


def encode(value: object) -> tuple[list[Node], dict[str, Form]]:
    """Encode the return value of a call.

    Parameters
    ----------
    value : object
        The return value. A tuple is several values; a list is one value if it makes one array of
        numbers, texts or arrays, several otherwise.

    Returns
    -------
    encoded : list of Encoded or EncodedGroup
        One per value, in order. A single scalar or text has shape (1,), several have ().
    form : dict
        The form of the call.

    Raises
    ------
    NotStorableError
        If HDF5 cannot hold one of the values.
    """
    # Other subclasses of tuple cannot be restored and are refused below.
    if type(value) is tuple:
        return _encode_several(value, {"returned": "tuple"})
    if is_named_tuple(value):
        named = [type(value).__name__, list(value._fields)]  # type: ignore[attr-defined]
        return _encode_several(value, {"returned": "tuple", "named": named})  # type: ignore[arg-type]
    if type(value) is list:
        try:
            array = encode_list(value)
        except NotStorableError:
            return _encode_several(value, {"returned": "list"})
        return [array], {"returned": "one", "values": [array.form]}
    one = encode_value(value)
    # The user guide shows a single number as `[18]`: one element, not a scalar dataset. A 0-d array
    # that was returned stays one.
    if isinstance(one, Encoded) and one.array is not None:
        scalar = one.array.ndim == 0 and _head(one.form) != "array"
        one.array = one.array.reshape(1) if scalar else one.array
    return [one], {"returned": "one", "values": [one.form]}


def _head(form: Form) -> str:
    return str(form[0] if isinstance(form, list) else form)


def _encode_several(
    values: Sequence[object], form: dict[str, Form]
) -> tuple[list[Node], dict[str, Form]]:
    encoder = _Encoder(values)
    encoded = [encoder(value) for value in values]
    form["values"] = [one.form for one in encoded]
    return encoded, form


def encode_value(value: object) -> Node:
    """Encode one value; scalars become 0-d arrays.

    Raises
    ------
    NotStorableError
        If HDF5 cannot hold the value, with the reason.
    """
    leaf = _encode_leaf(value)
    return _Encoder().group(value) if leaf is None else leaf


def _encode_leaf(value: object) -> Encoded | None:
    """Encode a value that makes one dataset; return None for any other."""
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
    if kind is list or kind is tuple:
        try:
            return encode_list(value)  # type: ignore[arg-type]
        except NotStorableError:
            return None
    return None


def _wrap(encoded: Encoded, outer: str) -> Encoded:
    """Replace the head of a form: `["array", …]` becomes `["scalar", …]`."""
    inner = encoded.form
    encoded.form = outer if isinstance(inner, str) else [outer, *inner[1:]]
    return encoded


class _Encoder:
    """Encodes the values of one call, and counts their levels and members.

    Parameters
    ----------
    above : object
        A sequence that holds the values, if any.
    """

    def __init__(self, above: object = None) -> None:
        self._above = [] if above is None else [id(above)]
        self._depth = self._members = 0

    def __call__(self, value: object) -> Node:
        leaf = _encode_leaf(value)
        return self.group(value) if leaf is None else leaf

    def group(self, value: object) -> Node:
        """Encode a value that makes a group."""
        # Python's recursion limit would be met first by some values, and depends on the caller.
        if id(value) in self._above:
            raise NotStorableError(
                f"HDF5 cannot hold a {type(value).__name__} that contains itself."
            )
        if len(self._above) >= MAX_DEPTH:
            raise NotStorableError(f"HDF5 cannot hold a value of more than {MAX_DEPTH} levels.")
        self._above.append(id(value))
        try:
            kind = type(value)
            if kind is dict:
                return encode_dict(value, self._member)  # type: ignore[arg-type]
            if kind is list or kind is tuple or is_named_tuple(value):
                return encode_sequence(value, self._member)  # type: ignore[arg-type]
            return encode_object(value, self._member)
        finally:
            self._above.pop()

    def _member(self, value: object) -> Node:
        self._members += 1
        if self._members > MAX_MEMBERS:
            raise NotStorableError(
                f"A value of more than {MAX_MEMBERS} members is not stored as HDF5 groups: arrays "
                "in place of lists and dicts of single numbers would be."
            )
        return self(value)


def decode(arrays: Sequence[Array | None], form: dict[str, Form]) -> Any:
    """Restore the return value of a call from its datasets and its form.

    Parameters
    ----------
    arrays : sequence of numpy.ndarray or None
        The datasets of all values. A group takes one place, with None, in front of its members.
    form : dict
        The form of the call.
    """
    left = iter(arrays)
    values = [_decode_node(left, one) for one in form["values"]]
    if form["returned"] == "one":
        return values[0]
    if form["returned"] == "list":
        return values
    if "named" in form:
        name, fields = form["named"]
        return make_named_tuple(name, fields, values)
    return tuple(values)


def decode_one(arrays: Sequence[Array | None], form: dict[str, Form], index: int) -> Any:
    """Restore one of the values of a call; raise `IndexError` if there are fewer.

    Parameters are those of `decode`.
    """
    forms = form["values"]
    begin = sum(map(count_places, forms[:index]))
    return _decode_node(iter(arrays[begin:]), forms[index])


def count_places(form: Form) -> int:
    """Return the number of places that a value takes among the arrays of its call."""
    if not isinstance(form, dict):
        return 1
    return 1 + sum(map(count_places, form["members"].values()))


def _decode_node(left: Iterator[Array | None], form: Form, depth: int = 0) -> Any:
    array = next(left)
    if not isinstance(form, dict):
        return decode_leaf(array, form)
    # Only a file that nobody wrote with `encode` goes deeper.
    if depth > MAX_DEPTH:
        raise DamagedFileError(f"A result has more than {MAX_DEPTH} levels.")
    members = {name: _decode_node(left, one, depth + 1) for name, one in form["members"].items()}
    return decode_group(form, members)


def decode_leaf(array: Array | None, form: Form) -> Any:
    """Restore a value from its only dataset."""
    head, *rest = form if isinstance(form, list) else [form]
    if head == "pandas":
        return decode_foreign(array, head, rest)
    if head == "none" or array is None:
        return None
    if head in ("bool", "int", "float", "complex"):
        return decode_number(array)
    if head in ("str", "bytes"):
        return decode_text(array, head, as_bytes=bool(rest))
    if head == "list":
        return decode_list(array, *rest)
    if head == "texts":
        return decode_texts(array)
    if head == "strings":
        return decode_foreign(decode_texts(array), head, rest)
    if head == "dates":
        return decode_foreign(decode_array(array, rest[0]), head, rest[1:])
    if head not in ("array", "scalar"):
        return decode_foreign(array, head, rest)
    plain = decode_array(array, rest[0] if rest else None)
    if head == "scalar":
        return plain.reshape(())[()] if plain.dtype.names is None else plain.reshape(-1)[0]
    return plain
