"""The header: the first bytes of every HDF5 file, which tell its kind and whether it is intact.

HDF5 leaves a *user block* at the start of a file to applications. Ours holds one line::

    ACME-IO 2 5d41402a {"kind":"payload","run":"…","calls":[3,3],"block":512,"size":2568,"rest":…}

The number after the format version is the CRC-32 of the JSON text, `size` the size of the file,
`data` the ranges of large datasets as `[offset, length, CRC-32]`, and `rest` the CRC-32 of all
bytes after the user block outside these ranges. A file is checked before HDF5 opens it, because a
damaged file can crash the library and with it the interpreter.
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

FORMAT_VERSION = 3
"""Version of the file format; the rule for changing it stands on the file-format page."""

FLAT_VERSION = 2
"""Version of files without groups as values, which earlier readers understand."""

# Readable text, so that a pager shows which program wrote the file.
MAGIC = b"ACME-IO "
SMALLEST_BLOCK = 512
"""Bytes; HDF5 requires user blocks to be a power of two of at least this size."""

# Upper bound in bytes for a header without the run's id and ranges: version, checksum, keys, and
# numbers of up to 14 digits.
_WITHOUT_RANGES = 240
# Upper bound in bytes for one range: three numbers of up to 14 digits, brackets and commas.
_PER_RANGE = 48


def block_size(n_ranges: int, run: str) -> int:
    """Return the size in bytes of a user block whose header lists `n_ranges` large datasets."""
    # Decided before anything is written: HDF5 places all its data after the user block.
    without = _WITHOUT_RANGES + len(json.dumps(run))
    needed, size = without + _PER_RANGE * n_ranges, SMALLEST_BLOCK
    while size < needed:
        size *= 2
    return size


@dataclass
class FileHeader:
    """The content of a file's header.

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
        CRC-32 of all bytes after the user block outside the ranges in `data`.
    data : list of (int, int, int)
        Offset, length and checksum of each large dataset, sorted by offset.
    version : int
        Version of the file format that the file needs.
    """

    kind: str
    run: str
    calls: range
    block: int = 0
    size: int = 0
    rest: int = 0
    data: list[tuple[int, int, int]] = field(default_factory=list)
    version: int = FLAT_VERSION

    def line(self) -> bytes:
        """Return the header as a line of text, without padding."""
        # A range without calls becomes (0, -1): `range(0, -1 + 1)` is empty again.
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
        """Return the whole user block."""
        return self.line().ljust(self.block, b"\0")

    @property
    def checksum(self) -> int:
        """Checksum of the whole file, 64 bits: `rest`, and the CRC-32 of all ranges below it."""
        # Over Python's text of the ranges: this number is in containers, part of the file format.
        ranges = zlib.crc32(repr(list(self.data)).encode()) if self.data else 0
        return self.rest << 32 | ranges

    @classmethod
    def parse(cls, line: bytes, path: Path) -> "FileHeader":
        """Parse the line of a header.

        Raises
        ------
        UnknownFileError
            If there is no header, or one of a later format version.
        DamagedFileError
            If the header itself has changed.
        """
        if not line.startswith(MAGIC):
            raise UnknownFileError(
                f"{path} was not written by acme-io: it does not begin with {MAGIC.decode()!r}."
            )
        try:
            version, crc, text = line[len(MAGIC) :].rstrip(b"\n").split(b" ", 2)
            if int(crc, 16) != zlib.crc32(text):
                raise ValueError("its checksum does not match")
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
        # After the checksum: a damaged version number must not ask for an update of acme-io.
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
        The bytes of the file in order; the first piece is the user block.
    ranges : iterable of (int, int)
        Offset and length of each large dataset, by offset; each is exactly one piece.
    """
    lengths = dict(ranges)
    position, rest, data = 0, 0, []
    for number, piece in enumerate(pieces):
        size = memoryview(piece).nbytes
        # Piece 0, the user block, is left out: it will hold these checksums.
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
        Open for reading and writing; complete but for the user block.
    ranges : sequence of (int, int, int)
        Offset, length and checksum of each large dataset.
    """
    # The largest ranges go into the header; those that do not fit count as part of the rest.
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
        `"size"` compares the size of the file, `"structure"` also all bytes outside large datasets,
        `"all"` every byte.

    Raises
    ------
    OSError
        If the file cannot be read (`FileNotFoundError` if it does not exist).
    UnknownFileError
        If acme-io did not write it.
    DamagedFileError
        If it is truncated or has changed since it was written.
    """
    with open(path, "rb", buffering=0) as file:
        return check_open_file(file, path, check)


def check_open_file(file: Any, path: Path, check: str) -> FileHeader:
    """Read and check the header of an open file, positioned at its start; see `read_header`."""
    # The block's size stands in the line itself: read on, doubling, until the line is complete.
    head = file.read(SMALLEST_BLOCK)
    while head.startswith(MAGIC) and b"\n" not in head:
        more = file.read(len(head))
        if not more:
            raise damaged(path, "it ends within its header")
        head += more
    header = FileHeader.parse(head[: head.find(b"\n") + 1], path)
    head += file.read(max(header.block - len(head), 0))
    size = file.seek(0, 2)
    if size != header.size:
        raise damaged(path, f"it has {size} bytes instead of {header.size}")
    # The padding is covered by no checksum, so it must be zero.
    if head[head.find(b"\n") + 1 : header.block].strip(b"\0"):
        raise damaged(path, "its first bytes have changed")
    if check != "size" and _rest(file, header.block, header.data, size) != header.rest:
        raise damaged(path, "its content has changed since it was written")
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
        If one of them has changed since it was written.
    """
    for offset, length, known in ranges:
        if range_checksum(file, offset, length, header.version) != known:
            raise damaged(path, f"the {length} bytes of data at byte {offset} have changed")


def damaged(path: Path, reason: str) -> DamagedFileError:
    """Return the error for a damaged file, with its path, the reason and what to do."""
    return DamagedFileError(
        f"{path} is damaged: {reason}. Restore the file from a copy, or run the call again."
    )


def _rest(file: Any, block: int, ranges: Sequence[tuple[int, int, int]], size: int) -> int:
    """Return the CRC-32 of all bytes after the user block outside `ranges`, -1 at a short file."""
    crc, position = 0, block
    # A last, empty range at the end of the file covers what follows the others.
    for offset, length in [*((o, n) for o, n, _ in ranges), (size, 0)]:
        file.seek(position)
        left = offset - position
        while left > 0:
            # 1 MiB at a time: the rest may be large where many small datasets share a file.
            piece = file.read(min(left, 1 << 20))
            if not piece:
                return -1
            crc = checksum(piece, crc)
            left -= len(piece)
        position = offset + length
    return crc
