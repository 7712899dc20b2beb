"""Many hard links to objects that the HDF5 library has not made.

The library links a name to an object that it has opened, which takes longer than everything else.
So it first links all names to one placeholder. Where a group has more than a few links it keeps
them in blocks of a *fractal heap*::

    heap header "FRHP"     sizes of the blocks
    direct block "FHDB"    heap, offset, checksum, links: … name, address of the placeholder, …

Once the file is closed the addresses in these blocks are replaced, and the checksums of the blocks.
"""

import re
import struct
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO, NamedTuple

from h5py import h5g, h5o

from .lookup3 import lookup3

__all__ = ["FEWEST_LINKS", "CannotLinkError", "link_to_placeholder", "point_links"]

FEWEST_LINKS = 64
"""Fewer links are not worth it; up to 8 of them the library keeps elsewhere."""

_PLACEHOLDER = b"placeholder"
_CHECKSUMS = 2  # flag of a heap whose direct blocks have checksums


class CannotLinkError(Exception):
    """The file is not laid out as expected; the library has to do the work."""


class _Heap(NamedTuple):
    """Sizes of the blocks of a fractal heap; they double from row to row."""

    width: int
    smallest: int
    largest: int
    offset_size: int

    @classmethod
    def read(cls, metadata: bytes, at: int) -> "_Heap":
        """Read the header of a heap."""
        if metadata[at : at + 5] != b"FRHP\0" or not metadata[at + 9] & _CHECKSUMS:
            raise CannotLinkError(f"there is no heap of links at byte {at}")
        width, smallest, largest, bits = struct.unpack_from("<HQQH", metadata, at + 110)
        return cls(width, smallest, largest, -(-bits // 8))

    def block_size(self, offset: int) -> int:
        """Size of the direct block at an offset within the heap."""
        row_start, size = 0, self.smallest
        row_end = self.width * size
        while offset >= row_end:
            # The second row has blocks of the same size as the first, then they double.
            size *= 2 if row_start else 1
            row_start, row_end = row_end, row_end + self.width * size
        if size <= self.largest:
            return size
        return self.block_size((offset - row_start) % size)  # within an indirect block


def link_to_placeholder(root: Any, names: Iterable[bytes]) -> int:
    """Link names to one object, whose address is returned."""
    placeholder = h5g.create(root, _PLACEHOLDER)
    address = h5o.get_info(placeholder).addr
    links = root.links
    for name in names:
        links.create_hard(name, root, _PLACEHOLDER)
    root.unlink(_PLACEHOLDER)
    return int(address)


def point_links(
    file: BinaryIO,
    base: int,
    start: int,
    placeholder: int,
    names: bytes,
    targets: Mapping[bytes, int],
) -> list[bytes]:
    """Give links in a closed file their targets.

    Parameters
    ----------
    file : binary file
        Open for reading and writing.
    base : int
        Size of the user block: addresses count from there.
    start : int
        Where the library's metadata begins.
    placeholder : int
        Address that the links have.
    names : bytes
        Regular expression of the names.
    targets : mapping of bytes to int
        Address of each name.

    Returns
    -------
    list of bytes
        One of the names of each block that was changed.

    Raises
    ------
    CannotLinkError
        The links were not found where they should be.
    """
    file.seek(start)
    metadata = b"".join(iter(lambda: file.read(1 << 24), b""))
    pattern = re.compile(b"(" + names + b")" + re.escape(struct.pack("<Q", placeholder)))

    def target(match: re.Match[bytes]) -> bytes:
        return match[1] + struct.pack("<Q", targets[match[1]])

    found, samples = 0, []
    for at in _direct_blocks(metadata):
        heap_at = struct.unpack_from("<Q", metadata, at + 5)[0] + base - start
        if not 0 <= heap_at < len(metadata) or metadata[heap_at : heap_at + 4] != b"FRHP":
            continue
        heap = _Heap.read(metadata, heap_at)
        offset = int.from_bytes(metadata[at + 13 : at + 13 + heap.offset_size], "little")
        block = metadata[at : at + heap.block_size(offset)]
        first = pattern.search(block)
        if first is None:
            continue
        samples.append(first[1])
        changed, count = pattern.subn(target, block)
        found += count
        sum_at = 13 + heap.offset_size
        zeroed = changed[:sum_at] + bytes(4) + changed[sum_at + 4 :]
        file.seek(start + at)
        file.write(zeroed[:sum_at] + struct.pack("<I", lookup3(zeroed)) + zeroed[sum_at + 4 :])
    if found != len(targets):
        raise CannotLinkError(f"{found} of {len(targets)} links were found")
    return samples


def _direct_blocks(metadata: bytes) -> Iterable[int]:
    at = metadata.find(b"FHDB\0")
    while at >= 0:
        yield at
        at = metadata.find(b"FHDB\0", at + 1)
