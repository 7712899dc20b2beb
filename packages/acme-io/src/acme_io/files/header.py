"""The header: the first bytes of every HDF5 file, which say what it is and whether it is whole.

HDF5 leaves a *user block* at the start of a file to whoever writes it. Ours holds one line::

    ACME-IO 2 5d41402a {"kind":"payload","run":"…","calls":[3,3],"block":512,"size":2568,"rest":…}

The number after the format version is the CRC-32 of the JSON text, `size` the size of the file,
`data` the ranges of large datasets as `[offset, length, CRC-32]`, and `rest` the CRC-32 of all
bytes after the user block that are in none of these ranges. A file is checked before HDF5 sees it:
the library was not made for damaged files, and a damaged one can take the interpreter down.
"""

import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from acme_io.errors import DamagedFileError, UnknownFileError
from acme_io.files.checksum import checksum, range_checksum

__all__ = ["FileHeader", "block_size", "read_header"]

FORMAT_VERSION = 2
"""Version of the file format; the rule for changing it stands on the file-format page."""

MAGIC = b"ACME-IO "
SMALLEST_BLOCK = 512
"""Bytes; HDF5 wants a power of two of at least this."""

_WITHOUT_RANGES = 240  # bytes of a header at most, but for run and ranges
_PER_RANGE = 48  # three numbers of up to 14 digits, brackets and commas


def block_size(n_ranges: int, run: str) -> int:
    """Return the size of a user block whose header lists `n_ranges` large datasets, in bytes."""
    without = _WITHOUT_RANGES + len(json.dumps(run))
    needed, size = without + _PER_RANGE * n_ranges, SMALLEST_BLOCK
    while size < needed:
        size *= 2
    return size


@dataclass
class FileHeader:
    """What the header of a file says.

    Attributes
    ----------
    kind : str
        `"payload"`, `"batch"`, `"part"`, `"container"`, `"record"` or `"pickle"`.
    run : str
        The run's id.
    calls : range
        The calls in the file.
    block : int
        Size of the user block in bytes; 0 for a pickle, which has its header at the end.
    size : int
        Size of the file in bytes.
    rest : int
        CRC-32 of all bytes after the user block outside of the ranges in `data`.
    data : list of (int, int, int)
        Offset, length and checksum of each large dataset, by offset.
    version : int
        Version of the file format.
    """

    kind: str
    run: str
    calls: range
    block: int = 0
    size: int = 0
    rest: int = 0
    data: list[tuple[int, int, int]] = field(default_factory=list)
    version: int = FORMAT_VERSION

    def line(self) -> bytes:
        """Write the header as its line of text, without padding."""
        first, last = (self.calls[0], self.calls[-1]) if len(self.calls) else (0, -1)
        text = json.dumps(
            {
                "kind": self.kind,
                "run": self.run,
                "calls": [first, last],
                "block": self.block,
                "size": self.size,
                "rest": self.rest,
                "data": self.data,
            },
            separators=(",", ":"),
        ).encode()
        return b"%s%d %08x %s\n" % (MAGIC, self.version, zlib.crc32(text), text)

    def written(self) -> bytes:
        """Write the whole user block."""
        return self.line().ljust(self.block, b"\0")

    @property
    def checksum(self) -> int:
        """One number for the whole file: `rest` and the checksums of all ranges."""
        ranges = zlib.crc32(repr(list(self.data)).encode()) if self.data else 0
        return self.rest << 32 | ranges

    @classmethod
    def parse(cls, line: bytes, path: Path) -> "FileHeader":
        """Read a seal's line.

        Raises
        ------
        UnknownFileError
            There is no header, or one of a later format version.
        DamagedFileError
            The header itself has changed.
        """
        if not line.startswith(MAGIC):
            raise UnknownFileError(f"{path} was not written by acme-io: it has no header of it.")
        try:
            version, crc, text = line[len(MAGIC) :].rstrip(b"\n").split(b" ", 2)
            if int(crc, 16) != zlib.crc32(text):
                raise ValueError("the seal's checksum does not match")
            facts = json.loads(text)
            first, last = facts["calls"]
            header = cls(
                facts["kind"],
                facts["run"],
                range(first, last + 1),
                facts["block"],
                facts["size"],
                facts["rest"],
                [(o, n, c) for o, n, c in facts["data"]],
                int(version),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedFileError(
                f"{path} is damaged: its header cannot be read ({error}). Restore the file from a "
                "copy, or run the call again."
            ) from error
        if header.version > FORMAT_VERSION:
            raise UnknownFileError(
                f"{path} has format version {header.version}; this acme-io reads versions up to "
                f"{FORMAT_VERSION}. Update acme-io."
            )
        return header


def complete_header(
    header: FileHeader, pieces: Sequence[Any], ranges: Iterable[tuple[int, int]]
) -> None:
    """Fill in size and checksums for a file that is in memory.

    Parameters
    ----------
    header : FileHeader
        The header to complete.
    pieces : sequence of buffer
        The file's bytes in order; the first one is the user block.
    ranges : iterable of (int, int)
        Offset and length of each large dataset, by offset; each is exactly one of the pieces.
    """
    lengths = dict(ranges)
    position, rest, data = 0, 0, []
    for number, piece in enumerate(pieces):
        size = memoryview(piece).nbytes
        if lengths.get(position) == size and size:
            data.append((position, size, checksum(piece)))
        elif number:
            rest = checksum(piece, rest)
        position += size
    header.size, header.rest, header.data = position, rest, data


def write_header(
    header: FileHeader, file: BinaryIO, ranges: Sequence[tuple[int, int, int]]
) -> None:
    """Complete a header for an open file and write it into its user block.

    Parameters
    ----------
    header : FileHeader
        The header to complete.
    file : binary file
        Open for reading and writing; everything but the user block is there.
    ranges : sequence of (int, int, int)
        Offset, length and checksum of each large dataset.
    """
    # Ranges that find no place in the user block simply count as part of the rest.
    room = (header.block - _WITHOUT_RANGES - len(json.dumps(header.run))) // _PER_RANGE
    largest = sorted(ranges, key=lambda found: found[1])[max(len(ranges) - room, 0) :]
    header.data = sorted(largest)
    header.size = file.seek(0, 2)
    header.rest = _rest(file, header.block, header.data, header.size)
    file.seek(0)
    file.write(header.written())


def read_header(path: Path, *, check: str = "structure") -> FileHeader:
    """Read and check the header of a file.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    check : str
        `"size"` compares the file's size, `"structure"` also all bytes outside of large datasets,
        `"all"` every byte.

    Raises
    ------
    OSError
        The file cannot be read (`FileNotFoundError` and its like are the system's own).
    UnknownFileError
        acme-io did not write it.
    DamagedFileError
        It is cut short or has changed since it was written.
    """
    with open(path, "rb", buffering=0) as file:
        return check_open_file(file, path, check)


def check_open_file(file: Any, path: Path, check: str) -> FileHeader:
    """Do the work of `read_header` on a file that is open."""
    head = file.read(SMALLEST_BLOCK)
    while head.startswith(MAGIC) and b"\n" not in head:
        more = file.read(len(head))
        if not more:
            raise _damaged(path, "it ends within its seal")
        head += more
    header = FileHeader.parse(head[: head.find(b"\n") + 1], path)
    head += file.read(max(header.block - len(head), 0))
    size = file.seek(0, 2)
    if size != header.size:
        raise _damaged(path, f"it has {size} bytes instead of {header.size}")
    if head[head.find(b"\n") + 1 : header.block].strip(b"\0"):
        raise _damaged(path, "its first bytes have changed")
    if check != "size" and _rest(file, header.block, header.data, size) != header.rest:
        raise _damaged(path, "its content has changed since it was written")
    if check == "all":
        check_ranges(file, path, header, header.data)
    return header


def check_ranges(
    file: Any, path: Path, header: FileHeader, ranges: Iterable[tuple[int, int, int]]
) -> None:
    """Compare ranges of an open file with their checksums.

    Raises
    ------
    DamagedFileError
        One of them has changed since it was written.
    """
    for offset, length, known in ranges:
        if range_checksum(file, offset, length, header.version) != known:
            raise _damaged(path, f"the {length} bytes of data at byte {offset} have changed")


def _damaged(path: Path, reason: str) -> DamagedFileError:
    return DamagedFileError(
        f"{path} is damaged: {reason}. Restore the file from a copy, or run the call again."
    )


def _rest(file: Any, block: int, ranges: Sequence[tuple[int, int, int]], size: int) -> int:
    crc, position = 0, block
    for offset, length in [*((o, n) for o, n, _ in ranges), (size, 0)]:
        file.seek(position)
        left = offset - position
        while left > 0:
            piece = file.read(min(left, 1 << 20))
            if not piece:
                return -1
            crc = checksum(piece, crc)
            left -= len(piece)
        position = offset + length
    return crc
