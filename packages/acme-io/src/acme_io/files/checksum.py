"""Checksums of data in files: CRC-32, and the weaker sum of format version 1.

CRC-32 (the polynomial of IEEE 802.3, as in `zlib.crc32`) detects every change within 32 consecutive
bits. It misses any other change, such as a swap of two numbers, with a probability of 2**-32.
Python's own zlib reaches 1 to 2 GB/s; the optional library zlib-ng computes the same numbers at the
speed of memory (15 to 20 GB/s on processors with carry-less multiplication).
"""

import io
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

try:
    from zlib_ng.zlib_ng import crc32
except ImportError:  # zlib-ng is an optional extra
    from zlib import crc32

__all__ = [
    "LARGE",
    "as_bytes",
    "checksum",
    "checksum_of_version",
    "combined",
    "data_checksum",
    "fits",
    "has_checksum",
    "range_checksum",
]

Array = np.ndarray[Any, Any]

# A range takes up to 48 bytes in the header. Small datasets are checked when a file is opened;
# large ones have a range of their own, so that opening a file does not read them all.
LARGE = 32 * 1024
"""Datasets of at least this many bytes have a range of their own in the header of a file."""

# Version of the file format; before it, large ranges were summed by block.
_FIRST_CRC_VERSION = 2
# Bytes per block of version 1; part of the file format.
_BLOCK = 4096
# Bytes read and then summed while they are still in the processor's cache.
_AT_ONCE = 1 << 19


def checksum(data: Any, start: int = 0) -> int:
    """Return the CRC-32 of contiguous bytes.

    Parameters
    ----------
    data : buffer
        The bytes.
    start : int
        Checksum of the bytes before these, to chain several buffers.
    """
    return int(crc32(data, start))


class BlockSums:
    """The checksum of large data in files of format version 1.

    Little-endian 64-bit words are added modulo 2**64 within each block of 4096 bytes; the result is
    the CRC-32 of these sums and of the bytes after the last whole block. It misses words that
    changed places within a block, so version 2 replaced it.
    """

    def __init__(self) -> None:
        self._crc, self._left = 0, b""

    def update(self, data: Any) -> None:
        """Add the next piece."""
        view = memoryview(data).cast("B")
        # Pieces may end within a block: complete the one left over first.
        if self._left:
            missing = _BLOCK - len(self._left)
            self._left += bytes(view[:missing])
            view = view[missing:]
            if len(self._left) < _BLOCK:
                return
            self._add(self._left)
        whole = len(view) // _BLOCK * _BLOCK
        self._add(view[:whole])
        self._left = bytes(view[whole:])

    def _add(self, blocks: Any) -> None:
        words = np.frombuffer(blocks, "<u8").reshape(-1, _BLOCK // 8)
        if len(words):
            self._crc = zlib.crc32(words.sum(axis=1, dtype="<u8").tobytes(), self._crc)

    def value(self) -> int:
        """Return the checksum of all pieces so far."""
        return zlib.crc32(self._left, self._crc)


def range_checksum(file: Any, offset: int, length: int, version: int) -> int:
    """Return the checksum of a range of a file by the rules of a format version.

    The result is -1, which equals no checksum, if the file ends before the range.
    """
    # In version 1 too, shorter ranges have a plain CRC-32.
    sums = BlockSums() if version < _FIRST_CRC_VERSION and length >= LARGE else None
    crc, left = 0, length
    file.seek(offset)
    while left:
        piece = file.read(min(left, _AT_ONCE))
        if not piece:
            return -1
        if sums is None:
            crc = checksum(piece, crc)
        else:
            sums.update(piece)
        left -= len(piece)
    return crc if sums is None else sums.value()


def checksum_of_version(data: Any, version: int) -> int:
    """Return the checksum of bytes in memory by the rules of a format version."""
    return range_checksum(io.BytesIO(data), 0, len(data), version)


def has_checksum(array: Array, known: int, version: int) -> bool:
    """Whether a large array has a given checksum by the rules of a format version."""
    own = _block_sums(array) if version < _FIRST_CRC_VERSION else checksum(as_bytes(array))
    return own == known


def data_checksum(arrays: Sequence[Array | None], names: bytes = b"") -> int:
    """Return the checksum of a call's data, which does not depend on the file that holds it.

    Parameters
    ----------
    arrays : sequence of numpy.ndarray or None
        The datasets.
    names : bytes
        The names in groups, if any (`acme_io.hdf5.members.names_of`).
    """
    return combined([0 if array is None else checksum(as_bytes(array)) for array in arrays], names)


def combined(checksums: Sequence[int], names: bytes = b"") -> int:
    """Return the checksum of one dataset as it is, the CRC-32 of the checksums of several."""
    if names:
        checksums = [*checksums, zlib.crc32(names)]
    elif len(checksums) == 1:
        return checksums[0]
    return zlib.crc32(b"".join(one.to_bytes(4, "little") for one in checksums))


def fits(known: int, arrays: Sequence[Array | None], names: bytes = b"") -> bool:
    """Whether a call's data has the checksum on record; parameters as for `data_checksum`.

    Runs that began under format version 1 may have recorded block sums in a container of version 2,
    so either is accepted. Neither becomes weaker: the block sums of damaged data equal the recorded
    CRC-32 by chance only.
    """
    if data_checksum(arrays, names) == known:
        return True
    # Without large data both versions have the same checksum.
    if not any(array is not None and array.nbytes >= LARGE for array in arrays):
        return False
    return combined([_block_sums(array) for array in arrays], names) == known


def _block_sums(array: Array | None) -> int:
    if array is None:
        return 0
    if array.nbytes < LARGE:
        return checksum(as_bytes(array))
    sums = BlockSums()
    sums.update(as_bytes(array))
    return sums.value()


def as_bytes(array: Array) -> memoryview:
    """View an array's elements as bytes in C order; copies only arrays in another order."""
    # Through uint8: `memoryview.cast` refuses formats such as dates, and shapes with a zero.
    plain = np.ascontiguousarray(array)
    return plain.reshape(-1).view(np.uint8).data
