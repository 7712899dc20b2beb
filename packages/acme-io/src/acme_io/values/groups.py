"""The values that make groups, and the modules that encode and decode them.

A module that needs another library is imported for values of that library only.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from acme_io.errors import DamagedFileError, NotStorableError
from acme_io.values.encoded import Encode, Form, Node
from acme_io.values.nests import decode_nest

__all__ = ["decode_group", "encode_object"]

_Encoder = Callable[[Any, Encode], Node]
_Decoder = Callable[[Mapping[str, Form], dict[str, Any]], Any]

# By the module of the type, whose name is known without importing it.
_ENCODERS: dict[tuple[str, str], tuple[str, str]] = {}

_NESTS = ("dict", "list", "tuple", "named_tuple")


def encode_object(value: object, encode: Encode) -> Node:
    """Encode a value of a class of another library.

    Raises
    ------
    NotStorableError
        If the class is not known, or HDF5 cannot hold the value.
    """
    kind = type(value)
    library = kind.__module__.partition(".")[0]
    found = _ENCODERS.get((library, kind.__name__))
    if found is None:
        raise NotStorableError(
            f"HDF5 cannot hold a value of type {kind.__module__}.{kind.__name__}."
        )
    encoder: _Encoder = getattr(import_module(f"acme_io.values.{found[0]}"), found[1])
    return encoder(value, encode)


def decode_group(form: Mapping[str, Form], members: dict[str, Any]) -> Any:
    """Restore a value from the members of its group."""
    kind = form["kind"]
    if kind in _NESTS:
        return decode_nest(form, members)
    raise DamagedFileError(f"A result is a group of the unknown kind {kind!r}.")
