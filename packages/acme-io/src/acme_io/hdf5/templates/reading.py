"""Read payloads whose structure was seen before, without the HDF5 library.

Opening a small file through the library costs several times as much as reading its bytes. Payloads
of calls that return the same kind of value differ in two places only: the call's record and the
data. Once one of them has been read through the library, `PayloadPattern` knows where these two
lie; in any other file whose remaining bytes are identical, they lie in the same place.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from acme_io.hdf5.objects import Field
from acme_io.hdf5.templates import switched_on

__all__ = ["PayloadPattern", "pattern_of"]

Array = np.ndarray[Any, Any]


class PayloadPattern(NamedTuple):
    """Position of record and data in payloads of one structure.

    Attributes
    ----------
    size : int
        Size of each file in bytes.
    record : slice
        Bytes of the record.
    data : list of (Field, int)
        Each dataset, and the offset of its data.
    fixed : list of (int, bytes)
        Offset and content of all other bytes after the user block.
    """

    size: int
    record: slice
    data: list[tuple[Field, int]]
    fixed: list[tuple[int, bytes]]

    def read(self, content: bytes) -> tuple[bytes, list[Array | None]] | None:
        """Return a file's record and arrays, or None if its structure differs.

        Nothing is checked against the file header: the caller does that before using the record.
        """
        if len(content) != self.size:
            return None
        # All metadata is compared byte for byte, so a file that matches has the dtypes, shapes and
        # addresses that the library once decoded. Nothing of it is interpreted here.
        for start, known in self.fixed:
            if content[start : start + len(known)] != known:
                return None
        return content[self.record], [_array(content, *where) for where in self.data]


def _array(content: bytes, field: Field, offset: int) -> Array | None:
    if field.shape is None:
        return None
    # HDF5 allocates no space for a dataset without elements; its offset has no meaning.
    if not field.nbytes:
        return np.zeros(field.shape, field.dtype)
    # A copy, because a view would be read-only and keep the whole file in memory. Bytes are copied,
    # not elements: NumPy leaves the gaps of aligned structured elements uninitialised, and they
    # are part of the checksum.
    raw = np.frombuffer(content, np.uint8, field.nbytes, offset).copy()
    return raw.view(field.dtype).reshape(field.shape)


def pattern_of(
    content: bytes, block: int, record: str, fields: Sequence[Field], offsets: Sequence[int]
) -> PayloadPattern | None:
    """Return the pattern of a file that was read through the library.

    Parameters
    ----------
    content : bytes
        The whole file.
    block : int
        Size of the user block in bytes. Its content differs from file to file and is not compared.
    record : str
        The record that the library read.
    fields, offsets : sequence
        The datasets and the offsets of their data, -1 where HDF5 allocated none.

    Returns
    -------
    PayloadPattern or None
        None if the position of the record is ambiguous, or if templates are switched off.
    """
    if not switched_on():
        return None
    text = record.encode()
    start = content.find(text, block)
    # A result may contain the text of its own record; two hits leave the position open.
    if start < 0 or content.find(text, start + 1) >= 0:
        return None
    slots = [(start, len(text))]
    for field, offset in zip(fields, offsets, strict=True):
        if field.nbytes and offset < block:
            return None
        if field.nbytes:
            slots.append((offset, field.nbytes))
    fixed, position = [], block
    for offset, length in sorted(slots):
        # Overlapping slots mean that the record was found inside the data of a dataset.
        if offset < position:
            return None
        fixed.append((position, content[position:offset]))
        position = offset + length
    fixed.append((position, content[position:]))
    where = list(zip(fields, offsets, strict=True))
    return PayloadPattern(len(content), slice(start, start + len(text)), where, fixed)
