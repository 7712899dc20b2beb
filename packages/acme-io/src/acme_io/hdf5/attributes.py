"""Where in a file the contents of long attributes lie.

What is checked when a file is opened should be little. So long attributes have ranges of their own
in the header, as large datasets have, and are checked when somebody reads them.
"""

import struct
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from acme_io.errors import DamagedFileError
from acme_io.files.checksum import LARGE, as_bytes, checksum
from acme_io.hdf5.checked_file import CheckedFile
from acme_io.hdf5.objects import read_column

__all__ = ["checked_column", "column_ranges", "find_attribute"]

Array = np.ndarray[Any, Any]

_AT_ONCE = 1 << 20  # bytes that are searched at once
_NEAR_END = 8 << 20  # bytes: attributes that are written last lie at most so far from the end
_HEADER = 9  # bytes of an attribute's header before its name
_LONGEST = 256  # bytes of a header, with name, type and dataspace


def find_attribute(file: BinaryIO, start: int, name: str, size: int) -> int | None:
    """Find where the content of an attribute begins.

    The file has an attribute as its header: …, sizes of name, type and dataspace, encoding, name,
    type with the size of an element, dataspace with the number of elements; then the content.

    Parameters
    ----------
    file : binary file
        HDF5 has closed it.
    start : int
        Where to begin to look.
    name : str
        Its name.
    size : int
        Bytes of its content.
    """
    sought = name.encode() + b"\0"
    window, at = b"", start
    file.seek(start)
    while piece := file.read(_AT_ONCE):
        window = window[-_LONGEST:] + piece
        at += len(piece)
        base = at - len(window)
        found = window.find(sought, _HEADER)
        while found >= 0:
            head = window[found - _HEADER : found + _LONGEST]
            begin = _content_begins(head, len(sought), size)
            if begin is not None:
                return base + found - _HEADER + begin
            found = window.find(sought, found + 1)
    return None


def _content_begins(head: bytes, length: int, size: int) -> int | None:
    """Find the end of an attribute's header, if its name and content are of these lengths."""
    version, _, name, kind, space, _ = struct.unpack_from("<BBHHHB", head)
    end = _HEADER + name + kind + space
    if version != 3 or name != length or kind < 8 or space < 4 or len(head) < end:
        return None
    element = struct.unpack_from("<I", head, _HEADER + name + 4)[0]
    rank = head[_HEADER + name + kind + 1]
    count = 1
    if rank:
        count = struct.unpack_from("<Q", head, _HEADER + name + kind + 4)[0]
    return end if rank < 2 and element * count == size else None


def column_ranges(file: BinaryIO, columns: Mapping[str, Array]) -> list[tuple[int, int, int]]:
    """Find the long columns among the attributes of a file that HDF5 has closed.

    Returns
    -------
    list of (int, int, int)
        Offset, length and checksum of each; those that are not found are left out.
    """
    found = []
    for name, column in columns.items():
        content = as_bytes(column)
        if len(content) < LARGE:
            continue
        start = max(file.seek(0, 2) - len(content) - _NEAR_END, 0)
        at = find_attribute(file, start, name, len(content))
        if at is None:
            continue
        file.seek(at)
        if file.read(len(content)) == content:
            found.append((at, len(content), checksum(content)))
    return found


def checked_column(checked: CheckedFile, name: str, dtype: str) -> Array:
    """Read a column and, if it is a long one, compare it with the header.

    Raises
    ------
    DamagedFileError
        It has changed since it was written.
    """
    column = read_column(checked.root, name, dtype)
    if not checked.confirms(column.tobytes()):
        raise DamagedFileError(f"The column {name!r} has changed since it was written.")
    return column
