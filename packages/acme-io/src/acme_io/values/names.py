"""Keys of dicts as names of HDF5 members."""

import hashlib

__all__ = ["member_name"]

LONGEST = 200
"""Bytes of a name beyond which a digest replaces its end."""


def member_name(key: str) -> str:
    """Return the name of a member for a key of a dict; different keys have different names.

    Most keys are their own names. `/` separates the names on a path and NUL ends a name in HDF5, so
    these and `%` become `%` and two hexadecimal digits per byte, as in web addresses; so do lone
    surrogates and the first dot of a key of nothing but dots. The name of an empty key is `%`.
    """
    if not key:
        return "%"
    name = "".join(_escaped(char) if _is_special(char) else char for char in key)
    # HDF5 takes `.` for the group itself.
    if not name.strip("."):
        name = f"%2E{name[1:]}"
    raw = name.encode()
    if len(raw) <= LONGEST:
        return name
    # Names longer than those of files serve nobody, and a link has room for 64 kB at most. `%%` is
    # in no other name.
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return f"{raw[:LONGEST].decode('utf-8', 'ignore')}%%{digest}"


def _is_special(char: str) -> bool:
    return char in "/%\0" or "\ud800" <= char <= "\udfff"


def _escaped(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))
