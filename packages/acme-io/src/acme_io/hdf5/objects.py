"""Files, datasets and attributes through h5py's low-level interface.

The high-level interface of h5py cannot set all properties used here, and creates an object in
several calls of the library where one is enough.
"""

import io
import itertools
import math
import os
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from h5py import h5a, h5d, h5f, h5fd, h5g, h5o, h5p, h5s, h5t

from acme_io.values.encoded import Encoded

__all__ = [
    "Field",
    "GroupField",
    "MemoryFile",
    "access_properties",
    "add_dataset",
    "allocated_offset",
    "copy_member",
    "create_group",
    "data_offset",
    "has_attribute",
    "has_member",
    "is_utf8",
    "member_names",
    "open_dataset",
    "open_group",
    "plain_offset",
    "read_array",
    "read_column",
    "read_text",
    "write_column",
    "write_text",
]

Array = np.ndarray[Any, Any]

# A message in an object header holds at most 64 kB; the rest is room for the attribute's name, type
# and dataspace.
LARGEST_ATTRIBUTE = 60_000
"""Bytes of an attribute in the original layout of HDF5; longer ones need its version 1.8 layout."""

_NAMES = itertools.count()


class GroupField(NamedTuple):
    """The attributes of a group that is a value.

    Attributes
    ----------
    kind : str
        What it is, such as `"dict"`.
    list_name : str
        Name of a list of texts; empty without one.
    texts : tuple of str
        That list.
    """

    kind: str
    list_name: str = ""
    texts: tuple[str, ...] = ()


class Field(NamedTuple):
    """Path, dtype and shape of one dataset; `shape` None means a null dataspace.

    With `group`, the path is that of a group, which precedes its members; it has no dtype and no
    shape.
    """

    path: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...] | None
    text: bool = False
    group: GroupField | None = None

    @classmethod
    def of(cls, path: str, encoded: Encoded) -> "Field":
        """Make the field of an encoded value."""
        array = encoded.array
        # HDF5 wants a type even for a null dataspace; readers never see it.
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
    """Return the HDF5 type of a NumPy dtype; `text` marks fixed-length strings as UTF-8."""
    # `logical` as h5py passes it for datasets of its own: dtypes that carry h5py's metadata, such
    # as enumerations, keep it in the file.
    kind = h5t.py_create(dtype, logical=True)
    if text:
        kind = kind.copy()
        kind.set_cset(h5t.CSET_UTF8)
    return kind


def creation_properties(block: int) -> h5p.PropFCID:
    """Return the properties of a new file with a user block of `block` bytes."""
    made = h5p.create(h5p.FILE_CREATE)
    made.set_userblock(block)
    return made


def container_properties(block: int) -> h5p.PropFCID:
    """Return the properties of a new file whose members are listed in order of creation."""
    # By name, `comp_10` would come before `comp_2`.
    properties = creation_properties(block)
    properties.set_link_creation_order(h5p.CRT_ORDER_TRACKED | h5p.CRT_ORDER_INDEXED)
    return properties


def access_properties(*, dense: bool = False) -> h5p.PropFAID:
    """Return the properties of a file opened for writing.

    Parameters
    ----------
    dense : bool
        Whether attributes may be longer than 64 kB and members are listed in order of creation.
    """
    access = h5p.create(h5p.FILE_ACCESS)
    # A reader needs HDF5 1.8 (2008), for virtual datasets 1.10.
    bounds = (h5f.LIBVER_V18, h5f.LIBVER_V110) if dense else (h5f.LIBVER_EARLIEST, h5f.LIBVER_V18)
    access.set_libver_bounds(*bounds)
    # Closing the file closes all its objects: with the default, the file stays open as long as
    # any dataset is referenced, and its last bytes are written later.
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    return access


def write_text(where: Any, name: str, text: bytes) -> None:
    """Write a UTF-8 attribute of fixed length."""
    # Variable length, h5py's default, would put the text into a global heap: another object in
    # every file, and no fixed offset for templates to write to.
    kind = h5t.C_S1.copy()
    # A string type of no bytes is an error in HDF5; NUL padding makes an empty text of one byte.
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
    """Read a text attribute; raise `KeyError` if there is none."""
    attribute = h5a.open(where, name.encode())
    kind = attribute.get_type()
    if isinstance(kind, h5t.TypeStringID) and not kind.is_variable_str():
        raw = np.empty((), f"S{kind.get_size()}")
        attribute.read(raw, kind)
        return bytes(raw[()]).decode("utf-8")
    # Variable length, after a file was edited with h5py or HDF5's own tools.
    value = h5py.AttributeManager(h5py.Group(where))[name]
    return value if isinstance(value, str) else bytes(value).decode("utf-8")


def read_column(where: Any, name: str, dtype: str | None = None) -> Array:
    """Read a numeric attribute, converted to `dtype` if given; raise `KeyError` without one."""
    attribute = h5a.open(where, name.encode())
    column = np.empty(attribute.shape, dtype or attribute.dtype)
    if column.size:
        attribute.read(column)
    return column


def path_bytes(path: str | Path) -> bytes:
    """Encode a path for the HDF5 library: UTF-8 on Windows, the system's bytes elsewhere."""
    return os.fspath(path).encode("utf-8") if os.name == "nt" else os.fsencode(path)


def has_attribute(where: Any, name: str) -> bool:
    """Whether a group has an attribute."""
    return bool(h5a.exists(where, name.encode()))


def has_member(group: Any, name: str) -> bool:
    """Whether a group has a member of this name."""
    return bool(group.links.exists(name.encode()))


def open_dataset(where: Any, path: str) -> h5d.DatasetID:
    """Open a dataset; raise `KeyError` if there is none in the file itself."""
    dataset = h5d.open(where, path.encode())
    if file_number(dataset) != file_number(where):
        raise KeyError(f"{path} is a link to another file, which is not followed.")
    return dataset


def file_number(where: Any) -> int:
    """Return the number that HDF5 has given to the open file of an object."""
    # A microsecond, and the only trace of an external link that the library has followed.
    number: int = h5o.get_info(where).fileno
    return number


def open_group(where: Any, path: str) -> h5g.GroupID:
    """Open a group; raise `KeyError` if there is none."""
    return h5g.open(where, path.encode())


def create_group(where: Any, path: str) -> h5g.GroupID:
    """Create a group."""
    return h5g.create(where, path.encode())


def member_names(group: h5g.GroupID) -> list[str]:
    """Return the names of a group's members, in the order of the library."""
    return [group.get_objname_by_idx(at).decode() for at in range(group.get_num_objs())]


def copy_member(source: Any, target: Any, name: str) -> None:
    """Copy a member with its contents into a group of another file."""
    # HDF5 copies dtypes, character sets and null spaces exactly, without a round trip through
    # NumPy.
    h5o.copy(source, name.encode(), target, name.encode())


def data_offset(dataset: h5d.DatasetID) -> int | None:
    """Return the offset of a dataset's bytes in its file; None if they have no block of their own.

    These are empty datasets, small ones in their object header, chunked and virtual ones.
    """
    offset = dataset.get_offset()
    return None if offset is None else int(offset)


def allocated_offset(dataset: h5d.DatasetID) -> int:
    """Return the offset of a dataset whose space was allocated when it was created."""
    offset = data_offset(dataset)
    if offset is None:
        # The caller writes there directly: an error is better than bytes in the wrong place.
        raise RuntimeError("HDF5 has not allocated the data of a new dataset.")
    return offset


def plain_offset(dataset: h5d.DatasetID) -> int | None:
    """Return the offset of data with the bytes of a little-endian array in memory, else None."""
    kind = dataset.get_type()
    # Enumerations (h5py's bool), compounds (complex) and strings need a conversion.
    number = isinstance(kind, (h5t.TypeIntegerID, h5t.TypeFloatID))
    return data_offset(dataset) if number and kind.get_order() == h5t.ORDER_LE else None


def is_utf8(dataset: h5d.DatasetID) -> bool:
    """Whether a dataset holds UTF-8 strings; NumPy has one dtype for these and bytes."""
    kind = dataset.get_type()
    return isinstance(kind, h5t.TypeStringID) and kind.get_cset() == h5t.CSET_UTF8


def read_array(dataset: h5d.DatasetID) -> Array | None:
    """Read a whole dataset; return None for a null dataspace."""
    space = dataset.get_space()
    if space.get_simple_extent_type() == h5s.NULL:
        return None
    dtype = dataset.dtype
    # h5py notes the character set in the metadata of the dtype, of which NumPy warns later.
    array = np.empty(space.shape, dtype.str if dtype.kind == "S" else dtype)
    if array.size:
        kind = dataset.get_type()
        # h5py would derive an ASCII type from the array, and HDF5 refuses to convert UTF-8 to it.
        if isinstance(kind, h5t.TypeStringID):
            dataset.read(h5s.ALL, h5s.ALL, array, kind)
        else:
            dataset.read(h5s.ALL, h5s.ALL, array)
    return array


def add_dataset(where: Any, field: Field, *, early: bool = True) -> h5d.DatasetID:
    """Create a contiguous dataset without data, and the groups on its path.

    With `early`, its space in the file is allocated at once (`allocated_offset`).
    """
    plist = h5p.create(h5p.DATASET_CREATE)
    # Timestamps would make the metadata of every file different, so that no pattern fits two.
    plist.set_obj_track_times(False)
    if field.shape is None:
        space = h5s.create(h5s.NULL)
    else:
        space = h5s.create_simple(field.shape) if field.shape else h5s.create(h5s.SCALAR)
        if early:
            # The data is written around the library: HDF5 must reserve the space now and must not
            # fill it with zeros.
            plist.set_alloc_time(h5d.ALLOC_TIME_EARLY)
            plist.set_fill_time(h5d.FILL_TIME_NEVER)
    link = None
    if "/" in field.path:
        link = h5p.create(h5p.LINK_CREATE)
        link.set_create_intermediate_group(True)
        link.set_char_encoding(h5t.CSET_UTF8)
    kind = hdf5_type(field.dtype, field.text)
    return h5d.create(where, field.path.encode(), kind, space, plist, lcpl=link)


class MemoryFile:
    """A new file in memory.

    HDF5 writes it through a Python object and closes it before `image` returns its bytes. The
    library's own function for that (`H5Fget_file_image`) works on an open file, and returns a wrong
    checksum in some versions of HDF5.

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
        """Close the file and return its bytes without the user block."""
        self._fid.close()
        return bytes(self._buffer.getbuffer()[self._block :])


class _Buffer(io.BytesIO):
    """A buffer that `truncate` can also extend, as it can a file.

    h5py's driver truncates to the end of the allocated space, which may lie beyond what HDF5 has
    written; `io.BytesIO` ignores sizes beyond its end.
    """

    def truncate(self, size: int | None = None, /) -> int:
        missing = (self.tell() if size is None else size) - len(self.getbuffer())
        if missing <= 0:
            return super().truncate(size)
        position = self.seek(0, io.SEEK_END)
        self.write(bytes(missing))
        self.seek(position)
        return position + missing


def memory_name() -> bytes:
    """Return a unique name for a file that HDF5 opens in memory or through a Python object.

    Files of the core driver without a backing file are told apart by name: HDF5 would take a second
    one of the same name for the first.
    """
    return f"acme-io-{next(_NAMES)}".encode()
