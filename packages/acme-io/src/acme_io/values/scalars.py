"""Encode and decode Python's own scalars: numbers, text, bytes."""

from typing import Any

import numpy as np

from acme_io.errors import NotStorableError
from acme_io.values.encoded import Array, Encoded

__all__ = [
    "CODES",
    "PYTHON_KINDS",
    "decode_number",
    "decode_text",
    "encode_bytes",
    "encode_number",
    "encode_text",
]

# Exact types, compared with `type(value)`: a subclass such as `IntEnum` would lose its class.
PYTHON_KINDS = {bool: "b", int: "i", float: "f", complex: "c"}
CODES = {"b": bool, "i": int, "f": float, "c": complex}


def encode_number(value: Any) -> Encoded:
    """Encode a bool, an int of up to 64 bits, a float or a complex number."""
    # NumPy makes an int64 or uint64 of an int that fits and an object array of a larger one; some
    # versions raise instead.
    try:
        array = np.array(value)
    except OverflowError:
        array = np.empty((), object)
    if array.dtype.kind not in "biufc":
        raise NotStorableError("HDF5 cannot hold an integer of more than 64 bits.")
    return Encoded(array, type(value).__name__)


def encode_text(value: str) -> Encoded:
    """Encode a text."""
    # Strings of fixed length lose NULs at their end and cannot be empty; lone surrogates are not
    # valid UTF-8. Such texts are stored as bytes (uint8).
    raw = value.encode("utf-8", "surrogatepass")
    if not raw or b"\0" in raw or not _is_utf8(raw):
        return Encoded(np.frombuffer(raw, "u1"), ["str", "u1"])
    return Encoded(np.array(raw, f"S{len(raw)}"), "str", text=True)


def encode_bytes(value: bytes) -> Encoded:
    """Encode bytes."""
    if not value or b"\0" in value:
        return Encoded(np.frombuffer(value, "u1"), ["bytes", "u1"])
    return Encoded(np.array(value, f"S{len(value)}"), "bytes")


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def decode_number(array: Array) -> Any:
    """Restore a Python number."""
    return array.reshape(-1)[0].item()


def decode_text(array: Array, head: str, *, as_bytes: bool) -> str | bytes:
    """Restore a text or bytes; `as_bytes` if they are stored as `uint8`."""
    raw = array.tobytes() if as_bytes else bytes(array.reshape(-1)[0])
    return raw if head == "bytes" else raw.decode("utf-8", "surrogatepass")
