"""HDF5 files made without the HDF5 library, from a template that the library made once.

Making a small file through the library takes several hundred microseconds, most of it bookkeeping
that is the same for every file of the same structure. So the library makes one file per structure,
with datasets whose data is not allocated, and the bytes that vary are located in it::

    superblock    end of the file
    attribute     text of a fixed length
    dataset       shape (twice: current and maximum); address and size of the data

Every other file of this structure, whatever the shapes of its arrays, has the same bytes with other
numbers in these places, followed by the data. This works because the files keep the original layout
of HDF5 (superblock version 0, object headers of version 1), whose metadata carries no checksums;
the file header has them. The HDF5 file format specification describes both:
https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html

Each template is checked once: a file made from it, with other shapes, is read back through the
library. If that fails, for instance because a later HDF5 lays files out differently, files of this
structure are made by the library.
"""

import math
import secrets
import struct
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from h5py import h5d, h5f, h5g, h5o, h5p

from acme_io.files.checksum import as_bytes
from acme_io.hdf5.members import add_member, is_nested
from acme_io.hdf5.objects import (
    LARGEST_ATTRIBUTE,
    Field,
    MemoryFile,
    creation_properties,
    memory_name,
    read_array,
    read_text,
    write_text,
)
from acme_io.hdf5.templates import switched_on

__all__ = ["Place", "Template", "find_places", "structure_of", "template_for", "with_marks"]

Array = np.ndarray[Any, Any]

# Offset of the end-of-file address in a superblock of version 0: signature (8 bytes), versions and
# sizes (8), B-tree ranks (4), flags (4), base address (8), free-space address (8).
_END_OF_FILE = 40
# HDF5's address of storage that is not allocated yet: all bits set.
_UNDEFINED = 2**64 - 1
# Bytes: data starts at a multiple of it, so that a program that maps a file into memory finds its
# 8-byte numbers aligned.
_ALIGN = 8

# Shapes of the datasets in a template, by rank. Primes, because they hardly occur in a header by
# chance, and no two axes of a dataset are equal. With many axes they must be small: HDF5 refuses
# contiguous datasets whose size does not fit 64 bits. Up to rank 8; beyond, the library writes.
_MARKS: dict[int, tuple[int, ...]] = {
    0: (),
    1: (40009,),
    2: (1009, 1013),
    3: (211, 223, 227),
    4: (53, 59, 61, 67),
    5: (31, 37, 41, 43, 47),
    6: (17, 19, 23, 29, 31, 37),
    7: (11, 13, 17, 19, 23, 29, 31),
    8: (7, 11, 13, 17, 19, 23, 29, 31),
}


class Place(NamedTuple):
    """Offsets in a file at which a dataset is described.

    Attributes
    ----------
    shape : tuple of int
        Offsets of its shape, current and maximum; empty for a scalar.
    data : int
        Offset of the address of its data, which the size of the data follows.
    """

    shape: tuple[int, ...]
    data: int


class Template(NamedTuple):
    """The metadata of a file, and the offsets of the bytes that vary.

    Attributes
    ----------
    head : bytes
        The file without user block and data.
    block : int
        Size of the user block in bytes.
    texts : list of int
        Offset of each attribute's text in `head`.
    places : list of Place or None
        Description of each dataset in `head`; None for one without elements.
    """

    head: bytes
    block: int
    texts: list[int]
    places: list[Place | None]

    def fill(
        self, texts: Sequence[bytes], fields: Sequence[Field], arrays: Sequence[Array | None]
    ) -> tuple[list[Any], list[tuple[int, int]]]:
        """Return the bytes of a file.

        Parameters
        ----------
        texts : sequence of bytes
            The attributes, of the lengths that the template was made for.
        fields, arrays : sequence
            The datasets, which may differ from those of the template in shape, not in rank.

        Returns
        -------
        pieces : list of buffer
            The file without its user block.
        ranges : list of (int, int)
            Offset in the file and size in bytes of each dataset with data.
        """
        head = bytearray(self.head)
        for at, text in zip(self.texts, texts, strict=True):
            head[at : at + len(text)] = text
        pieces: list[Any] = [head]
        ranges: list[tuple[int, int]] = []
        end = len(head)
        for place, field, array in zip(self.places, fields, arrays, strict=True):
            if place is None or array is None or field.shape is None:
                continue
            gap = -end % _ALIGN
            if gap:
                pieces.append(b"\0" * gap)
            nbytes = field.nbytes
            shape = struct.pack(f"<{len(field.shape)}Q", *field.shape)
            for at in place.shape:
                head[at : at + len(shape)] = shape
            # Addresses count from the superblock, which follows the user block. The end of the
            # file below and the ranges of our own header count from the start of the file.
            struct.pack_into("<QQ", head, place.data, end + gap, nbytes)
            pieces.append(as_bytes(array))
            ranges.append((self.block + end + gap, nbytes))
            end += gap + nbytes
        struct.pack_into("<Q", head, _END_OF_FILE, self.block + end)
        return pieces, ranges


# Least recently used first. A structure without a template is remembered as None: finding out again
# for every call would cost more than the library itself.
_TEMPLATES: "OrderedDict[tuple[Any, ...], Template | None]" = OrderedDict()
# Templates per process, some kilobytes each: about a megabyte, for runs whose calls return values
# of many kinds.
_MAX_TEMPLATES = 256
# Structures with groups that were met once, by hash. Dicts may have other keys in each call, and a
# template costs as much as three files: it is made for the second file of a structure.
_MET_ONCE: "OrderedDict[int, None]" = OrderedDict()
_MAX_MET_ONCE = 4096


def template_for(
    fields: Sequence[Field], attributes: Sequence[tuple[str, int]], block: int
) -> Template | None:
    """Return the template for files of one structure.

    Parameters
    ----------
    fields : sequence of Field
        The datasets. Of their shapes only the rank matters, and whether they have any elements.
    attributes : sequence of (str, int)
        Names and sizes in bytes of text attributes of the root group.
    block : int
        Size of the user block in bytes.

    Returns
    -------
    Template or None
        None if files of this structure cannot be made from a template, if this is the first of
        them and has groups, or if templates are switched off.
    """
    if not switched_on():
        return None
    key = (structure_of(fields), tuple(attributes), block)
    if key in _TEMPLATES:
        _TEMPLATES.move_to_end(key)
        return _TEMPLATES[key]
    if is_nested(fields) and _is_new(hash(key)):
        return None
    made = _make(fields, attributes, block)
    _TEMPLATES[key] = made
    if len(_TEMPLATES) > _MAX_TEMPLATES:
        _TEMPLATES.popitem(last=False)
    return made


def _is_new(structure: int) -> bool:
    """Note a structure; return whether it was not met before."""
    if structure in _MET_ONCE:
        return False
    _MET_ONCE[structure] = None
    if len(_MET_ONCE) > _MAX_MET_ONCE:
        _MET_ONCE.popitem(last=False)
    return True


def structure_of(fields: Sequence[Field]) -> tuple[Any, ...]:
    """Return a key shared by all files whose datasets differ in their shapes only."""
    return tuple(_kind(field) for field in fields)


def _kind(field: Field) -> tuple[Any, ...]:
    shape = field.shape
    # A dataset without elements has no data whose address could be filled in: its shape is fixed.
    rank = None if shape is None else len(shape) if field.nbytes else shape
    # `str` alone is the same for all structured dtypes of one size ("|V16").
    return (field.path, field.dtype.str, field.dtype, rank, field.text, field.group)


def _make(
    fields: Sequence[Field], attributes: Sequence[tuple[str, int]], block: int
) -> Template | None:
    # A mark of fewer than 16 bytes could occur elsewhere in the file by chance; longer attributes
    # need the 1.8 layout, whose metadata carries checksums.
    unsuitable = any(not 16 <= size <= LARGEST_ATTRIBUTE for _, size in attributes)
    if unsuitable or not all(known_rank(field) for field in fields):
        return None
    marks = [secrets.token_hex(size).encode()[:size] for _, size in attributes]
    marked = [with_marks(field, number) for number, field in enumerate(fields)]
    # Marks grow with the number of datasets, and HDF5 refuses sizes beyond 64 bits. Hundreds of
    # arrays of rank 7 or 8 get there.
    if any(field.nbytes >= _UNDEFINED for field in marked):
        return None
    new = MemoryFile(creation_properties(block), dense=False)
    for (name, _), mark in zip(attributes, marks, strict=True):
        write_text(new.root, name, mark)
    # Late allocation leaves the data address undefined: a bit pattern to search for, and a file
    # without data. `addr` is the offset of the object header from the superblock.
    headers = [h5o.get_info(add_member(new.root, field, early=False)).addr for field in marked]
    head = new.image()
    texts = [head.find(mark) for mark in marks]
    places = [find_places(head, at, field) for at, field in zip(headers, marked, strict=True)]
    found = all(
        place is not None for place, field in zip(places, marked, strict=True) if field.nbytes
    )
    if min(texts, default=0) < 0 or not found:
        return None
    template = Template(head, block, texts, places)
    return template if _works(template, fields, attributes) else None


def known_rank(field: Field) -> bool:
    """Whether a template can hold a dataset of this rank."""
    return field.shape is None or not field.nbytes or len(field.shape) in _MARKS


def with_marks(field: Field, number: int) -> Field:
    """Give dataset `number` of a file a shape that can be found in it and that no other has."""
    if field.shape is None or not field.nbytes:
        return field
    marks = _MARKS[len(field.shape)]
    return field._replace(shape=tuple(mark + 2 * number for mark in marks))


def find_places(head: bytes, start: int, field: Field) -> Place | None:
    """Return the place of a dataset whose object header begins at `start`, None if ambiguous."""
    if field.shape is None or not field.nbytes:
        return None
    # Object header of version 1: version (1 byte), reserved (1), messages (2), references (4), size
    # of the messages (4), padding to 16 bytes; then the messages.
    version, size = head[start], struct.unpack_from("<I", head, start + 8)[0]
    header = head[start : start + 16 + size]
    # The layout message of a contiguous dataset: address and size of its data, 8 bytes each.
    data = struct.pack("<QQ", _UNDEFINED, field.nbytes)
    if version != 1 or header.count(data) != 1:
        return None
    shapes: list[int] = []
    if field.shape:
        packed = struct.pack(f"<{len(field.shape)}Q", *field.shape)
        at = header.find(packed)
        while at >= 0:
            shapes.append(start + at)
            at = header.find(packed, at + 1)
    return Place(tuple(shapes), start + header.index(data))


def _works(
    template: Template, fields: Sequence[Field], attributes: Sequence[tuple[str, int]]
) -> bool:
    """Whether the library reads back what a file made from the template was filled with."""
    texts = [secrets.token_hex(size).encode()[:size] for _, size in attributes]
    tried = [_with_other_shape(field, number) for number, field in enumerate(fields)]
    arrays = [_sample(field, number) for number, field in enumerate(tried)]
    pieces, _ = template.fill(texts, tried, arrays)
    content = b"".join([b"\0" * template.block, *pieces])
    access = h5p.create(h5p.FILE_ACCESS)
    # In memory, without a backing file. The increment (16 kB) only matters to files that grow.
    access.set_fapl_core(1 << 14, False)
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    access.set_file_image(content)
    try:
        fid = h5f.open(memory_name(), h5f.ACC_RDONLY, access)
    except OSError:
        return False
    try:
        root = h5g.open(fid, b"/")
        read = [read_text(root, name).encode() for name, _ in attributes]
        back = [_read(root, field) for field in tried]
        return read == texts and all(map(_equal, back, arrays))
    except (KeyError, OSError, ValueError):
        return False
    finally:
        fid.close()


def _read(root: Any, field: Field) -> Array | None:
    if field.group is None:
        return read_array(h5d.open(root, field.path.encode()))
    h5g.open(root, field.path.encode())
    return None


def _with_other_shape(field: Field, number: int) -> Field:
    if field.shape is None or not field.nbytes:
        return field
    # Lengths 2 to 4, so that a swap of two axes or of two datasets is noticed and memory stays
    # small at any rank.
    return field._replace(shape=tuple(2 + (number + axis) % 3 for axis in range(len(field.shape))))


def _equal(back: Array | None, array: Array | None) -> bool:
    if back is None or array is None:
        return back is array
    same = back.shape == array.shape and back.dtype == array.dtype
    return same and back.tobytes() == array.tobytes()


def _sample(field: Field, number: int) -> Array | None:
    """Return an array whose elements are valid for the dtype and differ between datasets."""
    if field.shape is None:
        return None
    sample = np.zeros(field.shape, field.dtype)
    # Whole numbers: arbitrary bytes would include NaNs and invalid long doubles, whose bytes a
    # conversion may change.
    if field.dtype.kind in "fc":
        sample.reshape(-1)[:] = np.arange(math.prod(field.shape)) + 3 * number + 1
    elif field.nbytes:
        raw = np.arange(field.nbytes) + 17 * number
        limit = 2 if field.dtype.kind in "bV" else 251  # bools are 0 or 1
        sample.reshape(-1).view("u1")[:] = (raw % limit + 1) % 256 if limit > 2 else (raw + 1) % 2
    return sample
