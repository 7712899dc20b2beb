"""Columns of Python objects: texts, numbers and missing values in any mixture."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from acme_io.values.encoded import Array, Encode, EncodedGroup, Form, Node
from acme_io.values.scalars import PYTHON_KINDS
from acme_io.values.texts import as_objects, encode_texts

__all__ = ["decode_objects", "encode_objects"]

# Exact types with one letter each; numbers have those of lists.
_LETTERS: dict[type, str] = {**PYTHON_KINDS, str: "s", type(None): "n"}
# By name: pandas is loaded if one of its values is here, and never imported for the others.
_MISSING = {"NAType": "A", "NaTType": "T"}
_DTYPES = {"b": "?", "i": "<i8", "f": "<f8", "c": "<c16"}
_NAMES = {"b": "booleans", "i": "integers", "f": "floats", "c": "complex_numbers"}


def encode_objects(values: Sequence[Any], encode: Encode) -> Node:
    """Encode a column of objects: texts, or a letter and a dataset for each type that occurs."""
    letters = [_letter(value) for value in values]
    found = set(letters)
    if "?" in found or not _fits_64_bits(values, letters):
        # Cells of arrays, lists, dicts …: a value each.
        return EncodedGroup("objects", {"cells": encode(list(values))})
    if found == {"s"}:
        return encode_texts(values)
    members: dict[str, Node] = {"types": encode(np.array(letters, "S1"))}
    # Each as long as the column, so that a row is at the same position in all of them.
    if "s" in found:
        is_text = zip(values, letters, strict=True)
        members["texts"] = encode_texts([v if one == "s" else "" for v, one in is_text])
    for letter, name in _NAMES.items():
        if letter in found:
            column = [v if one == letter else 0 for v, one in zip(values, letters, strict=True)]
            members[name] = encode(np.array(column, _DTYPES[letter]))
    return EncodedGroup("objects", members)


def _letter(value: object) -> str:
    kind = type(value)
    known = _LETTERS.get(kind)
    if known is None and kind.__module__.partition(".")[0] == "pandas":
        known = _MISSING.get(kind.__name__)
    return known or "?"


def _fits_64_bits(values: Sequence[Any], letters: Sequence[str]) -> bool:
    pairs = zip(values, letters, strict=True)
    return all(-(2**63) <= value < 2**63 for value, letter in pairs if letter == "i")


def decode_objects(form: Mapping[str, Form], members: dict[str, Any]) -> Array:
    """Restore a column of objects; without pandas, its missing values are None."""
    if "cells" in members:
        return as_objects(members["cells"])
    letters = members["types"].astype("U1").tolist()
    columns = {key: members[name].tolist() for key, name in _NAMES.items() if name in members}
    columns["s"] = members.get("texts", [])
    missing = dict.fromkeys("AT") if not {"A", "T"}.intersection(letters) else _missing_values()
    return as_objects(
        [
            columns[letter][at] if letter in columns else missing.get(letter)
            for at, letter in enumerate(letters)
        ]
    )


def _missing_values() -> dict[str, Any]:
    try:
        import pandas as pd
    except ImportError:
        return {}
    return {"A": pd.NA, "T": pd.NaT}
