"""The low-level calls of h5py that everything else is made of."""

import io
import itertools
import math
import os
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from h5py import h5a, h5d, h5f, h5fd, h5g, h5p, h5s, h5t

from acme_io.values.encoding import Encoded

__all__ = [
    "Field",
    "MemoryFile",
    "access_properties",
    "add_dataset",
    "read_array",
    "read_column",
    "read_text",
    "write_column",
    "write_text",
]

Array = np.ndarray[Any, Any]

LARGEST_ATTRIBUTE = 60_000
"""Bytes of an attribute in the original layout of HDF5; longer ones need its version 1.8 layout."""

_NAMES = itertools.count()


class Field(NamedTuple):
    """One dataset: where, of what dtype and shape. `shape` None: a dataset without elements."""

    path: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...] | None
    text: bool = False

    @classmethod
    def of(cls, path: str, encoded: Encoded) -> "Field":
        """Make the field of an encoded value."""
        array = encoded.array
        if array is None:
            return cls(path, np.dtype("u1"), None)
        return cls(path, array.dtype, array.shape, encoded.text)

    @property
    def nbytes(self) -> int:
        """Size of the data in bytes."""
        if self.shape is None:
            return 0
        return self.dtype.itemsize * math.prod(self.shape)


def hdf5_type(dtype: np.dtype[Any], text: bool = False) -> h5t.TypeID:
    """Translate a NumPy dtype; `text` marks fixed-length strings as UTF-8."""
    kind = h5t.py_create(dtype, logical=True)
    if text:
        kind = kind.copy()
        kind.set_cset(h5t.CSET_UTF8)
    return kind


def creation_properties(block: int) -> h5p.PropFCID:
    """Properties of a new file with a user block of `block` bytes."""
    made = h5p.create(h5p.FILE_CREATE)
    made.set_userblock(block)
    return made


def container_properties(block: int) -> h5p.PropFCID:
    """Properties of a new file whose members are listed in the order of their creation."""
    properties = creation_properties(block)
    properties.set_link_creation_order(h5p.CRT_ORDER_TRACKED | h5p.CRT_ORDER_INDEXED)
    return properties


def access_properties(*, dense: bool = False) -> h5p.PropFAID:
    """Access properties of a file to write: without locks, as nobody else opens temporary files."""
    access = h5p.create(h5p.FILE_ACCESS)
    # A reader needs HDF5 1.8 (2008), for virtual datasets 1.10.
    bounds = (h5f.LIBVER_V18, h5f.LIBVER_V110) if dense else (h5f.LIBVER_EARLIEST, h5f.LIBVER_V18)
    access.set_libver_bounds(*bounds)
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    return access


def write_text(where: Any, name: str, text: bytes) -> None:
    """Write a fixed-length UTF-8 attribute; fixed length costs no extra heap in the file."""
    kind = h5t.C_S1.copy()
    kind.set_size(max(len(text), 1))
    kind.set_cset(h5t.CSET_UTF8)
    kind.set_strpad(h5t.STR_NULLPAD)
    attribute = h5a.create(where, name.encode(), kind, h5s.create(h5s.SCALAR))
    attribute.write(np.array(text, f"S{max(len(text), 1)}"), kind)


def write_column(where: Any, name: str, column: Array) -> None:
    """Write a numeric array as an attribute."""
    kind = hdf5_type(column.dtype)
    attribute = h5a.create(where, name.encode(), kind, h5s.create_simple(column.shape))
    if column.size:
        attribute.write(np.ascontiguousarray(column))


def read_text(where: Any, name: str) -> str:
    """Read a text attribute; `KeyError` if there is none."""
    attribute = h5a.open(where, name.encode())
    kind = attribute.get_type()
    if isinstance(kind, h5t.TypeStringID) and not kind.is_variable_str():
        raw = np.empty((), f"S{kind.get_size()}")
        attribute.read(raw, kind)
        return bytes(raw[()]).decode("utf-8")
    value = h5py.AttributeManager(h5py.Group(where))[name]
    return value if isinstance(value, str) else bytes(value).decode("utf-8")


def read_column(where: Any, name: str, dtype: str | None = None) -> Array:
    """Read a numeric attribute, as `dtype` where that is given; `KeyError` if there is none."""
    attribute = h5a.open(where, name.encode())
    column = np.empty(attribute.shape, dtype or attribute.dtype)
    if column.size:
        attribute.read(column)
    return column


def path_bytes(path: str | Path) -> bytes:
    """Encode a path as the HDF5 library expects it on this system."""
    return os.fspath(path).encode("utf-8") if os.name == "nt" else os.fsencode(path)


def read_array(dataset: h5d.DatasetID) -> Array | None:
    """Read a whole dataset; None if it is one without elements (null space)."""
    space = dataset.get_space()
    if space.get_simple_extent_type() == h5s.NULL:
        return None
    array = np.empty(space.shape, dataset.dtype)
    if array.size:
        kind = dataset.get_type()
        if isinstance(kind, h5t.TypeStringID):
            dataset.read(h5s.ALL, h5s.ALL, array, kind)
        else:
            dataset.read(h5s.ALL, h5s.ALL, array)
    return array


def add_dataset(where: Any, field: Field, *, early: bool = True) -> h5d.DatasetID:
    """Create a contiguous dataset without data; groups on its path are made."""
    plist = h5p.create(h5p.DATASET_CREATE)
    plist.set_obj_track_times(False)
    if field.shape is None:
        space = h5s.create(h5s.NULL)
    else:
        space = h5s.create_simple(field.shape) if field.shape else h5s.create(h5s.SCALAR)
        if early:
            plist.set_alloc_time(h5d.ALLOC_TIME_EARLY)
            plist.set_fill_time(h5d.FILL_TIME_NEVER)
    link = None
    if "/" in field.path:
        link = h5p.create(h5p.LINK_CREATE)
        link.set_create_intermediate_group(True)
    kind = hdf5_type(field.dtype, field.text)
    return h5d.create(where, field.path.encode(), kind, space, plist, lcpl=link)


class MemoryFile:
    """A new file that lives in memory until its bytes are taken.

    HDF5 writes it through a Python object and closes it before its bytes are taken: the library's
    own image of a file that is still open has a wrong checksum in some of its versions.

    Parameters
    ----------
    properties : h5py.h5p.PropFCID
        Creation properties.
    dense : bool
        As for `access_properties`.
    """

    def __init__(self, properties: h5p.PropFCID, *, dense: bool) -> None:
        self._buffer = _Buffer()
        access = access_properties(dense=dense)
        access.set_fileobj_driver(h5fd.fileobj_driver, self._buffer)
        self._fid = h5f.create(memory_name(), h5f.ACC_TRUNC, properties, access)
        self._block = properties.get_userblock()
        self.root = h5g.open(self._fid, b"/")

    def image(self) -> bytes:
        """Close the file and give its bytes, without the user block."""
        self._fid.close()
        return bytes(self._buffer.getbuffer()[self._block :])


class _Buffer(io.BytesIO):
    """Bytes in memory that can be cut to a larger size, too."""

    def truncate(self, size: int | None = None, /) -> int:
        missing = (self.tell() if size is None else size) - len(self.getbuffer())
        if missing <= 0:
            return super().truncate(size)
        position = self.seek(0, io.SEEK_END)
        self.write(bytes(missing))
        self.seek(position)
        return position + missing


def memory_name() -> bytes:
    """Return a name for a file in memory; the library wants them different."""
    return f"acme-io-{next(_NAMES)}".encode()
