"""Many hard links to objects that the HDF5 library has not made.

The library links a name to an object that it has opened, which takes longer than everything else.
So it first links all names to one placeholder. Where a group has more than a few links it keeps
them in blocks of a *fractal heap*::

    heap header "FRHP"     sizes of the blocks
    direct block "FHDB"    heap, offset, checksum, links: … name, address of the placeholder, …

Once the file is closed the addresses in these blocks are replaced, and the checksums of the blocks.
"""

import mmap
import re
import struct
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO, NamedTuple

from h5py import h5g, h5o

from .lookup3 import lookup3

__all__ = ["FEWEST_LINKS", "CannotLinkError", "Metadata", "link_to_placeholder", "point_links"]

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
    def read(cls, metadata: mmap.mmap, at: int) -> "_Heap":
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


class Metadata(NamedTuple):
    """Where in a file the library's metadata lies: behind `start`, but for the bytes in `skip`.

    Addresses count from `base`, the size of the user block.
    """

    base: int
    start: int
    skip: range


def point_links(
    file: BinaryIO,
    where: Metadata,
    placeholder: int,
    names: bytes,
    target: Callable[[bytes], int],
) -> tuple[int, list[bytes]]:
    """Give links in a closed file their targets.

    Parameters
    ----------
    file : binary file
        Open for reading and writing.
    where : Metadata
        Where to look for the links.
    placeholder : int
        Address that the links have.
    names : bytes
        Regular expression of the names.
    target : callable
        Gives the address of a name.

    Returns
    -------
    count : int
        How many links were changed.
    samples : list of bytes
        One of the names of each block that was changed.

    Raises
    ------
    CannotLinkError
        The links were not found where they should be.
    """
    pattern = re.compile(b"(" + names + b")" + re.escape(struct.pack("<Q", placeholder)))

    def pointed(match: re.Match[bytes]) -> bytes:
        return match[1] + struct.pack("<Q", target(match[1]))

    found, samples = 0, []
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for at in _direct_blocks(content, where):
            heap_at = struct.unpack_from("<Q", content, at + 5)[0] + where.base
            if content[heap_at : heap_at + 4] != b"FRHP":
                continue
            heap = _Heap.read(content, heap_at)
            offset = int.from_bytes(content[at + 13 : at + 13 + heap.offset_size], "little")
            block = content[at : at + heap.block_size(offset)]
            first = pattern.search(block)
            if first is None:
                continue
            samples.append(first[1])
            changed, count = pattern.subn(pointed, block)
            found += count
            file.seek(at)
            file.write(_with_checksum(changed, 13 + heap.offset_size))
    return found, samples


def _with_checksum(block: bytes, sum_at: int) -> bytes:
    zeroed = block[:sum_at] + bytes(4) + block[sum_at + 4 :]
    return zeroed[:sum_at] + struct.pack("<I", lookup3(zeroed)) + zeroed[sum_at + 4 :]


def _direct_blocks(content: mmap.mmap, where: Metadata) -> Iterable[int]:
    for start, stop in ((where.start, where.skip.start), (where.skip.stop, len(content))):
        at = content.find(b"FHDB\0", start, stop)
        while at >= 0:
            yield at
            at = content.find(b"FHDB\0", at + 1, stop)
