"""Many texts in one dataset, or in two if their lengths differ much."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from acme_io.values.encoded import Array, Encoded, EncodedGroup, Node

__all__ = ["decode_packed_texts", "decode_texts", "encode_texts"]

# Strings of fixed length take the bytes of the longest one each. Up to this factor over the texts
# alone they are preferred, since every program reads them.
_MOST_PADDING = 4
# Bytes of padding that never matter.
_SMALL = 4096


def encode_texts(texts: Sequence[str]) -> Node:
    """Encode texts of any length and content: fixed-length strings where that loses nothing.

    Strings of fixed length lose NULs at their end, cannot hold lone surrogates, and take much space
    if one text is much longer than the others. Then the texts are one array of bytes, with the end
    of each.
    """
    raw = [text.encode("utf-8", "surrogatepass") for text in texts]
    total, longest = sum(map(len, raw)), max(map(len, raw), default=0)
    fits = longest * len(raw) <= max(_MOST_PADDING * total, _SMALL)
    if fits and not any(one.endswith(b"\0") for one in raw) and _is_unicode(texts):
        return Encoded(np.array(raw, f"S{max(longest, 1)}"), ["texts"], text=True)
    ends = np.cumsum([len(one) for one in raw], dtype="<i8")
    packed = np.frombuffer(b"".join(raw), "u1")
    members: dict[str, Node] = {"bytes": Encoded(packed, "array"), "ends": Encoded(ends, "array")}
    return EncodedGroup("texts", members)


def _is_unicode(texts: Sequence[str]) -> bool:
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return False
    return True


def decode_texts(array: Array) -> Array:
    """Restore texts from strings of fixed length, as an object array."""
    return as_objects([bytes(one).decode() for one in array])


def decode_packed_texts(form: Any, members: dict[str, Any]) -> Array:
    """Restore texts from their bytes and ends, as an object array."""
    packed, ends = members["bytes"].tobytes(), members["ends"].tolist()
    starts = [0, *ends[:-1]]
    return as_objects(
        [packed[a:b].decode("utf-8", "surrogatepass") for a, b in zip(starts, ends, strict=True)]
    )


def as_objects(values: Sequence[Any]) -> Array:
    """Return a one-dimensional object array; NumPy would make sequences another dimension."""
    array = np.empty(len(values), object)
    for at, value in enumerate(values):
        array[at] = value
    return array
