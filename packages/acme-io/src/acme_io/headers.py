"""Groups and datasets of HDF5 made many at once, without the library.

The library takes some 80 microseconds to make a group with one dataset, most of it bookkeeping. In
a container, thousands of calls have groups of the same structure: their object headers differ in a
few numbers only, so they are stamped from one pattern, all in one go::

    pattern of one call     group header      link to result_0, link to result_1 …
                            dataset header    lengths; address and size of the data
                            dataset header    …

Group headers are written here by the file format's description; those of datasets are made once by
the library, as for payloads (`acme_io.templates`). All are of version 1, which has no checksums.
"""

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from h5py import h5o

from . import layout
from .hdf5 import Field, MemoryFile, add_dataset, creation_properties
from .templates import Place, find_places, known_rank, with_marks

__all__ = ["Pattern", "pattern_for"]

Array = np.ndarray[Any, Any]

_UNDEFINED = 2**64 - 1
_LINK_INFO, _LINK, _GROUP_INFO = 0x02, 0x06, 0x0A
_CONSTANT = 1  # flag of a message that the library does not change
_TRACKED = 3  # the order of creation is kept, and has an index where there are many links
_WITH_ORDER = 4  # a link that says when it was made


class Pattern(NamedTuple):
    """The object headers of one call, and where in them the numbers are that differ.

    Attributes
    ----------
    content : bytes
        Group header and dataset headers; the length is a multiple of 8.
    links : list of (int, int)
        Where an address goes, and which place in `content` it is the address of.
    places : list of Place or None
        Where each dataset is described; None for one without data.
    """

    content: bytes
    links: list[tuple[int, int]]
    places: list[Place | None]

    def stamp(self, numbers: Array, start: int) -> Array:
        """Make the headers of many calls.

        Parameters
        ----------
        numbers : numpy.ndarray of uint64, shape (n, k)
            One row per call: of each dataset with data its address, its size in bytes and its
            lengths.
        start : int
            Address of the first group.

        Returns
        -------
        numpy.ndarray of uint8, shape (n, len(content))
            The headers, in the order of the rows.
        """
        count = len(numbers)
        made = np.tile(np.frombuffer(self.content, "u1"), (count, 1))
        starts = start + np.arange(count, dtype="<u8") * len(self.content)
        for at, target in self.links:
            _put(made, at, starts + np.uint64(target))
        column = 0
        for place in self.places:
            if place is None:
                continue
            _put(made, place.data, numbers[:, column])
            _put(made, place.data + 8, numbers[:, column + 1])
            for axis in range(place.rank):
                for at in place.lengths:
                    _put(made, at + 8 * axis, numbers[:, column + 2 + axis])
            column += 2 + place.rank
        return made


def _put(made: Array, at: int, column: Array) -> None:
    made[:, at : at + 8] = np.ascontiguousarray(column, "<u8").view("u1").reshape(-1, 8)


def pattern_for(fields: Sequence[Field]) -> Pattern | None:
    """Make the pattern of calls with these datasets, whatever their lengths.

    Parameters
    ----------
    fields : sequence of Field
        The datasets of one such call.

    Returns
    -------
    Pattern or None
        None if headers of this structure cannot be made so.
    """
    if not all(known_rank(field) for field in fields):
        return None
    content, slots = _group_header([field.path for field in fields])
    links, places = [], []
    for number, field in enumerate(fields):
        header, place = _dataset_header(with_marks(field, number))
        if header is None or (place is None and field.nbytes):
            return None
        links.append((slots[number], len(content)))
        places.append(None if place is None else place.moved(len(content)))
        content += header + bytes(-len(header) % 8)
    return Pattern(bytes(content), links, places)


def _dataset_header(field: Field) -> tuple[bytes | None, Place | None]:
    """Let the library make a dataset, and take its header."""
    new = MemoryFile(creation_properties(512), dense=False)
    dataset = add_dataset(new.root, field._replace(path=layout.result_name(0)), early=False)
    start = h5o.get_info(dataset).addr
    del dataset
    image = new.image()
    size = 16 + struct.unpack_from("<I", image, start + 8)[0]
    header = image[start : start + size]
    if header[0] != 1 or len(header) != size or _continues(header):
        return None, None
    return header, find_places(header, 0, field)


def _continues(header: bytes) -> bool:
    """Whether an object header of version 1 goes on elsewhere in its file."""
    position = 16
    while position + 8 <= len(header):
        kind, size = struct.unpack_from("<HH", header, position)
        if kind == 0x10:
            return True
        position += 8 + size
    return False


def _group_header(names: Sequence[str]) -> tuple[bytearray, list[int]]:
    """Make the header of a group with links to datasets; also where their addresses go."""
    info = struct.pack("<BBQQQQ", 0, _TRACKED, len(names), *3 * [_UNDEFINED])
    messages = _message(_LINK_INFO, info) + _message(_GROUP_INFO, bytes(2), _CONSTANT)
    slots = []
    for order, name in enumerate(names):
        raw = name.encode()
        head = struct.pack("<BBQB", 1, _WITH_ORDER, order, len(raw)) + raw
        slots.append(16 + len(messages) + 8 + len(head))
        messages += _message(_LINK, head + bytes(8))
    prefix = struct.pack("<BBHII4x", 1, 0, 2 + len(names), 1, len(messages))
    return bytearray(prefix + messages), slots


def _message(kind: int, body: bytes, flags: int = 0) -> bytes:
    padded = body + bytes(-len(body) % 8)
    return struct.pack("<HHB3x", kind, len(padded), flags) + padded
