"""The checksum that HDF5 puts at the end of its metadata: Bob Jenkins' lookup3 (2006)."""

import struct

__all__ = ["lookup3"]

_M = 0xFFFFFFFF


def lookup3(data: bytes | bytearray) -> int:
    """Compute the 32-bit checksum of a piece of metadata, as the HDF5 library does.

    Parameters
    ----------
    data : bytes
        The bytes that the checksum covers.
    """
    a = b = c = (0xDEADBEEF + len(data)) & _M
    if not data:
        return c
    whole = (len(data) - 1) // 12
    words = struct.unpack_from(f"<{3 * whole}I", data)
    for i in range(0, 3 * whole, 3):
        a += words[i]
        b += words[i + 1]
        c += words[i + 2]
        a = (a - c) & _M ^ ((c << 4 | (c & _M) >> 28) & _M)
        c += b
        b = (b - a) & _M ^ ((a << 6 | a >> 26) & _M)
        a += c
        c = (c - b) & _M ^ ((b << 8 | b >> 24) & _M)
        b += a
        a = (a - c) & _M ^ ((c << 16 | c >> 16) & _M)
        c += b
        b = (b - a) & _M ^ ((a << 19 | a >> 13) & _M)
        a += c
        c = (c - b) & _M ^ ((b << 4 | b >> 28) & _M)
        b += a
    tail = struct.unpack("<3I", bytes(data[12 * whole :]).ljust(12, b"\0"))
    return _last((a + tail[0]) & _M, (b + tail[1]) & _M, (c + tail[2]) & _M)


def _last(a: int, b: int, c: int) -> int:
    """Mix the three words once more; the result is the third."""
    for left, middle, right in ((14, 11, 25), (16, 4, 14)):
        c = ((c ^ b) - _turned(b, left)) & _M
        a = ((a ^ c) - _turned(c, middle)) & _M
        b = ((b ^ a) - _turned(a, right)) & _M
    return ((c ^ b) - _turned(b, 24)) & _M


def _turned(word: int, by: int) -> int:
    return (word << by | word >> (32 - by)) & _M
