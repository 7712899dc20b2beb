"""Encode and decode dicts, lists and tuples whose entries are values of their own."""

import collections
from collections.abc import Mapping, Sequence
from typing import Any

from acme_io.errors import NotStorableError
from acme_io.values.encoded import Encode, EncodedGroup, Form
from acme_io.values.names import member_name

__all__ = ["decode_nest", "encode_dict", "encode_sequence", "is_named_tuple", "make_named_tuple"]


def encode_dict(value: dict[Any, Any], encode: Encode) -> EncodedGroup:
    """Encode a dict with text keys."""
    for key in value:
        if type(key) is not str:
            raise NotStorableError(
                f"HDF5 cannot hold a dict with the key {key!r:.60}: keys of dicts must be text."
            )
    names = [member_name(key) for key in value]
    members = {name: encode(entry) for name, entry in zip(names, value.values(), strict=True)}
    keys = list(value)
    return EncodedGroup("dict", members, {} if names == keys else {"keys": keys})


def encode_sequence(value: Sequence[Any], encode: Encode) -> EncodedGroup:
    """Encode a list, a tuple or a named tuple."""
    if is_named_tuple(value):
        fields = list(value._fields)  # type: ignore[attr-defined]
        members = {name: encode(entry) for name, entry in zip(fields, value, strict=True)}
        return EncodedGroup("named_tuple", members, {"name": type(value).__name__})
    members = {str(index): encode(entry) for index, entry in enumerate(value)}
    return EncodedGroup("list" if type(value) is list else "tuple", members)


def is_named_tuple(value: object) -> bool:
    """Whether a value is a named tuple."""
    return isinstance(value, tuple) and type(value) is not tuple and hasattr(value, "_fields")


def make_named_tuple(name: str, fields: Sequence[str], values: Sequence[Any]) -> Any:
    """Make a named tuple of a class with this name and these fields."""
    # A class of its own: the original one may not be importable here.
    return collections.namedtuple(name, fields)(*values)


def decode_nest(form: Mapping[str, Form], members: dict[str, Any]) -> Any:
    """Restore a dict, list or tuple from its members."""
    match form["kind"]:
        case "dict" | "columns":
            keys = form.get("keys")
            return members if keys is None else dict(zip(keys, members.values(), strict=True))
        case "named_tuple":
            return make_named_tuple(form["name"], list(members), list(members.values()))
        case "tuple":
            return tuple(members.values())
    return list(members.values())
