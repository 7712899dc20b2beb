"""Write the HDF5 files of one run: payloads, batches, parts and containers.

All have the same frame: a user block with the file header, the identity of the run in the root
attribute `run`, and the records of the calls in `calls`, one line of JSON each. They differ in
their datasets.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from acme_io.files import atomic
from acme_io.files.checksum import LARGE, as_bytes, checksum, range_checksum
from acme_io.files.header import (
    FLAT_VERSION,
    FORMAT_VERSION,
    FileHeader,
    block_size,
    complete_header,
)
from acme_io.hdf5.members import add_member, is_nested
from acme_io.hdf5.new_file import NewFile, write_exactly
from acme_io.hdf5.objects import LARGEST_ATTRIBUTE, Field, add_dataset, allocated_offset, write_text
from acme_io.hdf5.templates.writing import template_for
from acme_io.records.run_record import RunStamp

__all__ = ["RunStamp", "write_file", "write_pieces"]

# Bytes of data up to which a file is made in memory and written at once. Beyond, writing dominates
# and the library's overhead no longer matters.
_IN_MEMORY = 1 << 20

# Bytes written and then added to the checksum while they are still in the processor's cache, beside
# their copy. With 2 MB, 64 arrays of 32 MB took 1.36 of the time of plain h5py, with 256 kB 1.26.
_AT_ONCE = 1 << 18

Array = np.ndarray[Any, Any]


def padded(text: str) -> bytes:
    """Pad a record with blanks, so that records of about the same length share a template."""
    raw = text.encode()
    # To a multiple of 128 bytes: times and worker names vary by a few characters. JSON ignores the
    # blanks.
    return raw.ljust(-(-len(raw) // 128) * 128)


def write_file(
    path: str | Path,
    kind: str,
    stamp: RunStamp,
    calls: range,
    records: str,
    fields: Sequence[Field],
    arrays: Sequence[Array | None],
    *,
    flush: bool = False,
    version: int = FLAT_VERSION,
) -> int:
    """Write one HDF5 file; under its final name it is either complete or absent.

    Parameters
    ----------
    path : path_like
        The final name; an existing file is replaced.
    kind : str
        Kind of file, for the header.
    stamp : RunStamp
        The run.
    calls : range
        The calls in the file.
    records : str
        Records of the calls, one line each.
    fields, arrays : sequence
        The datasets and their contents, in order.
    flush : bool
        Whether to wait until the file is on the disk.
    version : int
        Version of the format that a reader has to know; raised here if a field is a group.

    Returns
    -------
    int
        Checksum of the file, 64 bits.
    """
    texts = {"run": stamp.json.encode(), "calls": padded(records)}
    n_large = sum(field.nbytes >= LARGE for field in fields)
    header = FileHeader(kind, stamp.run_id, calls, block_size(n_large, stamp.run_id))
    header.version = FORMAT_VERSION if is_nested(fields) else version
    # Names of the groups of calls contain their numbers, and records of several calls vary in
    # length: no other file would have the same structure.
    repeats = len(calls) == 1
    if kind != "payload":
        repeats = repeats and not any("/" in field.path for field in fields)
    if repeats and sum(field.nbytes for field in fields) <= _IN_MEMORY:
        sizes = [(name, len(text)) for name, text in texts.items()]
        template = template_for(fields, sizes, header.block)
        if template is not None:
            pieces, ranges = template.fill(list(texts.values()), fields, arrays)
            pieces.insert(0, b"\0" * header.block)
            complete_header(header, pieces, [(o, n) for o, n in ranges if n >= LARGE])
            pieces[0] = header.written()
            atomic.write_whole(path, _joined(pieces), flush=flush)
            return header.checksum

    def lay_out(root: Any) -> list[Data]:
        for name, text in texts.items():
            write_text(root, name, text)
        made = [add_member(root, field) for field in fields]
        return [
            Data(allocated_offset(dataset), field.nbytes, [array])
            for dataset, field, array in zip(made, fields, arrays, strict=True)
            # The offset of a dataset without elements has no meaning.
            if array is not None and field.nbytes
        ]

    build_file(path, header, lay_out, dense=_needs_dense(texts), flush=flush)
    return header.checksum


def _needs_dense(texts: Mapping[str, bytes]) -> bool:
    return any(len(text) > LARGEST_ATTRIBUTE for text in texts.values())


def write_pieces(
    path: Path,
    kind: str,
    stamp: RunStamp,
    calls: range,
    records: str,
    name: str,
    pieces: Sequence[Array],
    version: int = FLAT_VERSION,
) -> None:
    """Write a file with one dataset of bytes, given in pieces, and flush it to the disk.

    Parameters are those of `write_file`, with the name of the dataset, its pieces, and the version
    of the format that readers of the bytes have to know.
    """
    length = sum(piece.nbytes for piece in pieces)
    field = Field(name, np.dtype("u1"), (length,))
    if length <= _IN_MEMORY:
        whole = np.frombuffer(b"".join(map(as_bytes, pieces)), "u1")
        fields, arrays = [field], [whole]
        write_file(path, kind, stamp, calls, records, fields, arrays, flush=True, version=version)
        return
    texts = {"run": stamp.json.encode(), "calls": padded(records)}

    def lay_out(root: Any) -> list[Data]:
        for attribute, text in texts.items():
            write_text(root, attribute, text)
        return [Data(allocated_offset(add_dataset(root, field)), length, pieces)]

    header = FileHeader(kind, stamp.run_id, calls, block_size(1, stamp.run_id), version=version)
    build_file(path, header, lay_out, dense=_needs_dense(texts), flush=True)


def _joined(pieces: Sequence[Any]) -> list[Any]:
    """Join neighbouring small pieces: one system call is cheaper than many."""
    # Large pieces are not joined, which would copy them.
    joined: list[Any] = []
    small: list[Any] = []
    for piece in pieces:
        if len(piece) < LARGE:
            small.append(piece)
        else:
            joined += [b"".join(small), piece]
            small = []
    return [*joined, b"".join(small)]


class Data(NamedTuple):
    """Offset, length and content of a dataset, in bytes.

    `pieces` are consecutive arrays; None if HDF5 has already written the data.
    """

    offset: int
    length: int
    pieces: Iterable[Array] | None


def build_file(
    path: str | Path,
    header: FileHeader,
    lay_out: Callable[[Any], Iterable[Data]],
    *,
    dense: bool,
    flush: bool,
) -> None:
    """Let HDF5 create the structure of a file, then write the data without it.

    Written directly, data is not copied, and a full disk raises the operating system's own error.

    Parameters
    ----------
    path : path_like
        Final name of the file.
    header : FileHeader
        Header with the size of its user block; completed here.
    lay_out : callable
        Creates all members and attributes of the root group it is given, and returns the offset
        and content of the data.
    dense : bool
        Whether attributes may be longer than 64 kB and members are listed in order of creation.
    flush : bool
        Whether to wait until the file is on the disk.
    """
    new = NewFile(path, header.block, dense=dense)
    try:
        plan = list(lay_out(new.root))
        # HDF5 writes metadata from its cache when it closes the file; only then is every byte
        # outside the datasets final.
        new.close_hdf5()
        ranges = [found for data in plan if (found := _put(new, data, flush)) is not None]
        new.publish(header, ranges, flush=flush)
    except BaseException:
        new.abort()
        raise


def _put(new: NewFile, data: Data, flush: bool) -> tuple[int, int, int] | None:
    """Write the bytes of one dataset, and return its range if it is large."""
    file = new.file
    if not data.length:
        return None
    large = data.length >= LARGE
    if data.pieces is None:
        if not large:
            return None
        # The data never passed through here: read it back for its checksum.
        crc = range_checksum(file, data.offset, data.length, FORMAT_VERSION)
        return (data.offset, data.length, crc)
    crc = 0
    file.seek(data.offset)
    for piece in data.pieces:
        view = as_bytes(piece)
        for start in range(0, len(view), _AT_ONCE):
            part = view[start : start + _AT_ONCE]
            write_exactly(file, part)
            if flush:
                new.written_up_to(file.tell())
            if large:
                crc = checksum(part, crc)
    return (data.offset, data.length, crc) if large else None
