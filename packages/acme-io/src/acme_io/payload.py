"""Write and read the HDF5 files of one run: payloads, batches, parts and containers alike.

All have the same frame: a user block with the seal, the run's identity in the root attribute `run`
and the records of the calls in `calls`, one line of JSON each. What differs is the datasets.
"""

import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from . import files
from .hdf5 import (
    LARGEST_ATTRIBUTE,
    LARGEST_TEMPLATE,
    Field,
    Structure,
    access_properties,
    add_structure,
    as_bytes,
    creation_properties,
    h5f,
    path_bytes,
    template_for,
)
from .seal import LARGE, Seal, block_size, checksum, seal_file, seal_pieces

__all__ = ["RunStamp", "write_file"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class RunStamp:
    """What every file of a run carries: the run's id and its identity as JSON."""

    run_id: str
    json: str


def padded(text: str) -> bytes:
    """Pad a record with blanks, so that records of about the same length share a template."""
    raw = text.encode()
    return raw.ljust(-(-len(raw) // 128) * 128)


def write_file(
    path: Path,
    kind: str,
    stamp: RunStamp,
    calls: range,
    records: str,
    fields: Sequence[Field],
    arrays: Sequence[Array | None],
    *,
    flush: bool = False,
) -> int:
    """Write one HDF5 file; under its own name it is whole or not there.

    Parameters
    ----------
    path : pathlib.Path
        Its final name; a file that has it is replaced.
    kind : str
        Kind of file, for the seal.
    stamp : RunStamp
        The run.
    calls : range
        The calls in the file.
    records : str
        Their records, one line each.
    fields, arrays : sequence
        The datasets and their contents, in order.
    flush : bool
        Wait until the file is on the disk.

    Returns
    -------
    int
        Checksum of the file, 64 bits.
    """
    texts = [stamp.json.encode(), padded(records)]
    n_large = sum(field.nbytes >= LARGE for field in fields)
    structure = Structure(
        tuple(fields),
        (("run", len(texts[0])), ("calls", len(texts[1]))),
        block_size(n_large),
    )
    seal = Seal(kind, stamp.run_id, calls)
    if sum(field.nbytes for field in fields) <= LARGEST_TEMPLATE:
        template = template_for(structure)
        if template is not None:
            pieces = [b"\0" * structure.block, *template.fill(texts, arrays)]
            ranges = [(o, n) for o, n, number in template.slots if number >= 2 and n >= LARGE]
            seal_pieces(seal, pieces, ranges)
            pieces[0] = seal.block(structure.block)
            files.write_whole(path, _joined(pieces), flush=flush)
            return seal.checksum
    _write_through_library(path, seal, structure, texts, arrays, flush=flush)
    return seal.checksum


def _joined(pieces: Sequence[Any]) -> list[Any]:
    """Join small neighbours: one system call is cheaper than many."""
    joined: list[Any] = []
    small: list[Any] = []
    for piece in pieces:
        if len(piece) < LARGE:
            small.append(piece)
        else:
            joined += [b"".join(small), piece]
            small = []
    return [*joined, b"".join(small)]


def _write_through_library(
    path: Path,
    seal: Seal,
    structure: Structure,
    texts: Sequence[bytes],
    arrays: Sequence[Array | None],
    *,
    flush: bool,
) -> None:
    """Let HDF5 lay the file out, then put the data where it belongs.

    The data goes around the library: a full disk is then the operating system's own error, and
    nothing is copied.
    """
    temporary = files.temporary_path(path)
    try:
        dense = any(len(text) > LARGEST_ATTRIBUTE for text in texts)
        offsets = _lay_out(temporary, structure, texts, dense=dense)
        with open(temporary, "rb+", buffering=0) as file:
            ranges = _fill(file, structure, offsets, arrays)
            seal_file(seal, file, structure.block, ranges)
            if flush:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        files.remove(temporary)
        raise


def _lay_out(path: Path, structure: Structure, texts: Sequence[bytes], *, dense: bool) -> list[int]:
    # The folder's own error is clearer than what HDF5 makes of it; the mode follows the umask.
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    properties = creation_properties(structure.block)
    fid = h5f.create(path_bytes(path), h5f.ACC_TRUNC, properties, access_properties(dense=dense))
    try:
        return add_structure(fid, structure, texts)
    finally:
        fid.close()


def _fill(
    file: BinaryIO, structure: Structure, offsets: Sequence[int], arrays: Sequence[Array | None]
) -> list[tuple[int, int, int]]:
    """Write the data; returns the ranges of the large datasets with their checksums."""
    ranges = []
    for field, offset, array in zip(structure.fields, offsets, arrays, strict=True):
        if not field.nbytes or array is None:
            continue
        data = as_bytes(array)
        file.seek(offset)
        position = 0
        while position < len(data):
            position += file.write(data[position : position + (1 << 30)])
        if field.nbytes >= LARGE:
            ranges.append((offset, field.nbytes, checksum(data)))
    return ranges


def data_checksum(arrays: Sequence[Array | None]) -> int:
    """Checksum of a call's data, whatever file it lies in: chained over its arrays."""
    crc = 0
    for array in arrays:
        crc = zlib.crc32(b"\0", crc) if array is None else checksum(as_bytes(array), crc)
    return crc
