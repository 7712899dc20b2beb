"""Read payloads of a structure that was seen before, without the HDF5 library.

Opening a small file through the library costs several times as much as reading its bytes. All
payloads of a run that returns alike differ in two places only: the record of the call and the data.
Once one of them has been read through the library, `PayloadPattern` knows where these lie; in
another file whose bytes are the same everywhere else, they lie there too.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from acme_io.hdf5.objects import Field
from acme_io.hdf5.templates.switch import switched_on

__all__ = ["PayloadPattern", "pattern_of"]

Array = np.ndarray[Any, Any]


class PayloadPattern(NamedTuple):
    """Where record and data lie in payloads of one structure.

    Attributes
    ----------
    size : int
        Size of such a file in bytes.
    record : slice
        Bytes of the record.
    data : list of (Field, int)
        Each dataset, and the offset of its data.
    fixed : list of (int, bytes)
        All other bytes after the user block, and where they lie.
    """

    size: int
    record: slice
    data: list[tuple[Field, int]]
    fixed: list[tuple[int, bytes]]

    def read(self, content: bytes) -> tuple[bytes, list[Array | None]] | None:
        """Take record and arrays from a file's content; None if its structure is another one.

        The header is still to be checked: the record may be garbage.
        """
        if len(content) != self.size:
            return None
        for start, known in self.fixed:
            if content[start : start + len(known)] != known:
                return None
        return content[self.record], [_array(content, *where) for where in self.data]


def _array(content: bytes, field: Field, offset: int) -> Array | None:
    if field.shape is None:
        return None
    if not field.nbytes:
        return np.zeros(field.shape, field.dtype)
    count = field.nbytes // field.dtype.itemsize
    return np.frombuffer(content, field.dtype, count, offset).reshape(field.shape).copy()


def pattern_of(
    content: bytes, block: int, record: str, fields: Sequence[Field], offsets: Sequence[int]
) -> PayloadPattern | None:
    """Learn from a file that was read through the library.

    Parameters
    ----------
    content : bytes
        The whole file.
    block : int
        Size of its user block, which every file has its own of.
    record : str
        The record as it was read.
    fields, offsets : sequence
        The datasets, and where their data lie (-1: nowhere).

    Returns
    -------
    PayloadPattern or None
        None if the record cannot be found without doubt, or where templates are switched off.
    """
    if not switched_on():
        return None
    text = record.encode()
    start = content.find(text, block)
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
        if offset < position:
            return None
        fixed.append((position, content[position:offset]))
        position = offset + length
    fixed.append((position, content[position:]))
    where = list(zip(fields, offsets, strict=True))
    return PayloadPattern(len(content), slice(start, start + len(text)), where, fixed)
