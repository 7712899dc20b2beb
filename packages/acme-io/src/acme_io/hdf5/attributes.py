"""Offsets of long attributes in a file.

Opening a file should check few bytes. So long attributes have ranges of their own in the header, as
large datasets do, and are checked when they are read. HDF5 tells the offset of a dataset but not of
an attribute, so it is searched for.
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

# Bytes searched at a time, so that memory stays small in files of gigabytes.
_AT_ONCE = 1 << 20
# Bytes: where to start, counted back from the end. HDF5 appends attributes, and columns of a
# container are written last. One further away is not found and checked with the rest instead.
_NEAR_END = 8 << 20
# Bytes of an attribute message of version 3 before its name: version (1), flags (1), sizes of name,
# type and dataspace (2 each), character set of the name (1).
_HEADER = 9
# Bytes of such a message up to its content: 9, a short name, a numeric or string type (up to 20),
# a dataspace of one dimension (up to 20).
_LONGEST = 256


def find_attribute(file: BinaryIO, start: int, name: str, size: int) -> int | None:
    """Return the offset of an attribute's content, None if it is not found.

    Attributes of files in the 1.8 layout are messages of version 3: sizes of name, type and
    dataspace, character set, name, type with the size of an element, dataspace with the number of
    elements; then the content.

    Parameters
    ----------
    file : binary file
        The file, closed by HDF5.
    start : int
        Offset from which to search.
    name : str
        Name of the attribute.
    size : int
        Size of its content in bytes.
    """
    sought = name.encode() + b"\0"
    window, at = b"", start
    file.seek(start)
    while piece := file.read(_AT_ONCE):
        # Keep the end of the previous piece: a message may lie across the border.
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
    """Return the size of a message before its content, None if `head` is not the message sought.

    The name alone may occur anywhere, in data too; version and all sizes must agree as well.
    """
    version, _, name, kind, space, _ = struct.unpack_from("<BBHHHB", head)
    end = _HEADER + name + kind + space
    if version != 3 or name != length or kind < 8 or space < 4 or len(head) < end:
        return None
    # Type message: class and version (4 bytes), then the size of an element. Dataspace message:
    # version, rank, flags, type (1 byte each), then the length.
    element = struct.unpack_from("<I", head, _HEADER + name + 4)[0]
    rank = head[_HEADER + name + kind + 1]
    count = 1
    if rank:
        count = struct.unpack_from("<Q", head, _HEADER + name + kind + 4)[0]
    return end if rank < 2 and element * count == size else None


def column_ranges(file: BinaryIO, columns: Mapping[str, Array]) -> list[tuple[int, int, int]]:
    """Return the ranges of long columns among the attributes of a file that HDF5 has closed.

    Returns
    -------
    list of (int, int, int)
        Offset, length and checksum of each column found. Others count as part of the rest.
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
        # A wrong range would make an intact file look damaged, so compare before recording it.
        file.seek(at)
        if file.read(len(content)) == content:
            found.append((at, len(content), checksum(content)))
    return found


def checked_column(checked: CheckedFile, name: str, dtype: str) -> Array:
    """Read a column and, if it is long, compare it with the header.

    Raises
    ------
    DamagedFileError
        If the column has changed since it was written.
    """
    column = read_column(checked.root, name, dtype)
    if not checked.confirms(column.tobytes()):
        raise DamagedFileError(
            f"{checked.path} is damaged: its column {name!r} has changed since it was written. "
            "Restore the file from a copy, or run the calls again."
        )
    return column
