"""HDF5 files made without the HDF5 library, from a template that the library has made.

Making a small file through the library takes several hundred microseconds, most of it for
bookkeeping that is the same for every file of the same structure. So a file of each structure is
made once, with datasets whose data is not allocated, and what differs is found in it::

    superblock    end of the file
    attribute     its text, of a fixed length
    dataset       its lengths, twice; address and size of its data

Another file of this structure, whatever the lengths of its arrays, is the same bytes with other
numbers in these places, followed by the data. This works because the files keep the original layout
of HDF5, whose metadata carries no checksums (the header has them). Each template is checked once: a
file made from it, with other lengths, is read back through the library.
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
from acme_io.hdf5.objects import (
    LARGEST_ATTRIBUTE,
    Field,
    MemoryFile,
    add_dataset,
    creation_properties,
    memory_name,
    read_array,
    read_text,
    write_text,
)
from acme_io.hdf5.templates.switch import switched_on

__all__ = ["Place", "Template", "find_places", "structure_of", "template_for", "with_marks"]

Array = np.ndarray[Any, Any]

_END_OF_FILE = 40  # where the superblock says how long the file is
_UNDEFINED = 2**64 - 1
_ALIGN = 8  # bytes; data begins at a multiple of it

# Lengths of the datasets in a template: unlikely numbers, but for many dimensions not large either.
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
    """Where a header describes a dataset: its lengths, and address and size of its data."""

    rank: int
    lengths: tuple[int, ...]
    data: int

    def moved(self, by: int) -> "Place":
        """Return the same place in a header that lies further behind."""
        return Place(self.rank, tuple(at + by for at in self.lengths), self.data + by)


class Template(NamedTuple):
    """The metadata of a file, and where in it the things are that differ.

    Attributes
    ----------
    head : bytes
        The file without its user block and without data.
    block : int
        Size of the user block in bytes.
    texts : list of int
        Where the texts of the attributes begin.
    places : list of Place or None
        Where the datasets are described; None for one without elements.
    """

    head: bytes
    block: int
    texts: list[int]
    places: list[Place | None]

    def fill(
        self, texts: Sequence[bytes], fields: Sequence[Field], arrays: Sequence[Array | None]
    ) -> tuple[list[Any], list[tuple[int, int]]]:
        """Make a file.

        Parameters
        ----------
        texts : sequence of bytes
            The attributes, of the lengths that the template was made for.
        fields, arrays : sequence
            The datasets; they differ from those of the template in their lengths only.

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
            lengths = struct.pack(f"<{len(field.shape)}Q", *field.shape)
            for at in place.lengths:
                head[at : at + len(lengths)] = lengths
            struct.pack_into("<QQ", head, place.data, end + gap, nbytes)
            pieces.append(as_bytes(array))
            ranges.append((self.block + end + gap, nbytes))
            end += gap + nbytes
        struct.pack_into("<Q", head, _END_OF_FILE, self.block + end)
        return pieces, ranges


_TEMPLATES: "OrderedDict[tuple[Any, ...], Template | None]" = OrderedDict()
_KEEP = 256  # templates that a process keeps, some kilobytes each


def template_for(
    fields: Sequence[Field], attributes: Sequence[tuple[str, int]], block: int
) -> Template | None:
    """Return the template of a structure.

    Parameters
    ----------
    fields : sequence of Field
        The datasets; their lengths do not matter, but whether there are any elements.
    attributes : sequence of (str, int)
        Names and sizes in bytes of text attributes of the root group.
    block : int
        Size of the user block in bytes.

    Returns
    -------
    Template or None
        None where files of this structure cannot be made from a template, or where templates are
        switched off.
    """
    if not switched_on():
        return None
    key = (structure_of(fields), tuple(attributes), block)
    if key in _TEMPLATES:
        _TEMPLATES.move_to_end(key)
        return _TEMPLATES[key]
    made = _make(fields, attributes, block)
    _TEMPLATES[key] = made
    if len(_TEMPLATES) > _KEEP:
        _TEMPLATES.popitem(last=False)
    return made


def structure_of(fields: Sequence[Field]) -> tuple[Any, ...]:
    """Make a key that files share whose datasets differ in their lengths only."""
    return tuple(_kind(field) for field in fields)


def _kind(field: Field) -> tuple[Any, ...]:
    """Make a key of what fields of one template share; dtypes that NumPy holds equal may differ."""
    shape = field.shape
    lengths = None if shape is None else len(shape) if field.nbytes else shape
    return (field.path, field.dtype.str, field.dtype, lengths, field.text)


def _make(
    fields: Sequence[Field], attributes: Sequence[tuple[str, int]], block: int
) -> Template | None:
    small = any(not 16 <= size <= LARGEST_ATTRIBUTE for _, size in attributes)
    if small or not all(known_rank(field) for field in fields):
        return None
    marks = [secrets.token_hex(size).encode()[:size] for _, size in attributes]
    marked = [with_marks(field, number) for number, field in enumerate(fields)]
    new = MemoryFile(creation_properties(block), dense=False)
    for (name, _), mark in zip(attributes, marks, strict=True):
        write_text(new.root, name, mark)
    headers = [h5o.get_info(add_dataset(new.root, field, early=False)).addr for field in marked]
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
    """Whether there are marks for a dataset of so many dimensions, or none are needed."""
    return field.shape is None or not field.nbytes or len(field.shape) in _MARKS


def with_marks(field: Field, number: int) -> Field:
    """Give a dataset lengths that are found again; every dataset of a file has others."""
    if field.shape is None or not field.nbytes:
        return field
    marks = _MARKS[len(field.shape)]
    return field._replace(shape=tuple(mark + 2 * number for mark in marks))


def find_places(head: bytes, start: int, field: Field) -> Place | None:
    """Find lengths, address and size in the object header of a dataset, which begins at `start`."""
    if field.shape is None or not field.nbytes:
        return None
    version, size = head[start], struct.unpack_from("<I", head, start + 8)[0]
    header = head[start : start + 16 + size]
    data = struct.pack("<QQ", _UNDEFINED, field.nbytes)
    if version != 1 or header.count(data) != 1:
        return None
    lengths: list[int] = []
    if field.shape:
        packed = struct.pack(f"<{len(field.shape)}Q", *field.shape)
        at = header.find(packed)
        while at >= 0:
            lengths.append(start + at)
            at = header.find(packed, at + 1)
    return Place(len(field.shape), tuple(lengths), start + header.index(data))


def _works(
    template: Template, fields: Sequence[Field], attributes: Sequence[tuple[str, int]]
) -> bool:
    """Whether HDF5 reads from a file made with the template what was put into it."""
    texts = [secrets.token_hex(size).encode()[:size] for _, size in attributes]
    tried = [_with_other_lengths(field, number) for number, field in enumerate(fields)]
    arrays = [_sample(field, number) for number, field in enumerate(tried)]
    pieces, _ = template.fill(texts, tried, arrays)
    content = b"".join([b"\0" * template.block, *pieces])
    access = h5p.create(h5p.FILE_ACCESS)
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
        back = [read_array(h5d.open(root, field.path.encode())) for field in tried]
        return read == texts and all(map(_equal, back, arrays))
    except (KeyError, OSError, ValueError):
        return False
    finally:
        fid.close()


def _with_other_lengths(field: Field, number: int) -> Field:
    if field.shape is None or not field.nbytes:
        return field
    return field._replace(shape=tuple(2 + (number + axis) % 3 for axis in range(len(field.shape))))


def _equal(back: Array | None, array: Array | None) -> bool:
    if back is None or array is None:
        return back is array
    alike = back.shape == array.shape and back.dtype == array.dtype
    return alike and back.tobytes() == array.tobytes()


def _sample(field: Field, number: int) -> Array | None:
    """Make an array that is valid for its dtype and unlike those of other datasets."""
    if field.shape is None:
        return None
    sample = np.zeros(field.shape, field.dtype)
    if field.dtype.kind in "fc":
        sample.reshape(-1)[:] = np.arange(math.prod(field.shape)) + 3 * number + 1
    elif field.nbytes:
        raw = np.arange(field.nbytes) + 17 * number
        limit = 2 if field.dtype.kind in "bV" else 251  # bools are 0 or 1
        sample.reshape(-1).view("u1")[:] = (raw % limit + 1) % 256 if limit > 2 else (raw + 1) % 2
    return sample
