"""Parts of datasets (hyperslabs), and virtual datasets composed of parts of other files."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from h5py import h5d, h5p, h5s, h5t

from acme_io.hdf5.objects import Field, hdf5_type

__all__ = ["VirtualSource", "add_virtual_dataset", "read_slab", "write_slab"]

Array = np.ndarray[Any, Any]


def read_slab(dataset: h5d.DatasetID, array: Array, start: Sequence[int]) -> None:
    """Fill `array` with the elements of a dataset from index `start` on."""
    kind = dataset.get_type()
    # Without a memory type h5py asks for ASCII, and HDF5 cannot convert UTF-8 to it.
    memory = kind if isinstance(kind, h5t.TypeStringID) else None
    space = _selected(dataset.get_space(), start, array.shape)
    dataset.read(h5s.create_simple(array.shape), space, array, memory)


def write_slab(dataset: h5d.DatasetID, array: Array, start: Sequence[int]) -> None:
    """Write a C-contiguous array into a dataset from index `start` on."""
    space = _selected(dataset.get_space(), start, array.shape)
    dataset.write(h5s.create_simple(array.shape), space, array)


class VirtualSource(NamedTuple):
    """A part of a virtual dataset, and the place of its elements.

    Attributes
    ----------
    file, path : str
        The source file, relative to the folder of the virtual dataset, and the dataset in it.
    file_shape : tuple of int
        Shape of the source dataset.
    file_start, start : sequence of int
        First index in the source dataset, and in the virtual one.
    extent : tuple of int
        Number of elements along each axis.
    """

    file: str
    path: str
    file_shape: tuple[int, ...]
    file_start: Sequence[int]
    start: Sequence[int]
    extent: tuple[int, ...]


def add_virtual_dataset(
    where: Any, field: Field, fill: Array | None, sources: Iterable[VirtualSource]
) -> None:
    """Create a virtual dataset; elements without a source read as `fill` (shape (1,)), or zero."""
    if field.shape is None:
        raise ValueError("A virtual dataset needs a shape.")
    plist = h5p.create(h5p.DATASET_CREATE)
    # No time stamps in object headers: equal results make equal files.
    plist.set_obj_track_times(False)
    plist.set_layout(h5d.VIRTUAL)
    if fill is not None:
        plist.set_fill_value(fill)
    for one in sources:
        source = _selected(h5s.create_simple(one.file_shape), one.file_start, one.extent)
        target = _selected(h5s.create_simple(field.shape), one.start, one.extent)
        # HDF5 resolves a relative name against the folder of the container.
        plist.set_virtual(target, one.file.encode("utf-8"), one.path.encode(), source)
    kind = hdf5_type(field.dtype, field.text)
    h5d.create(where, field.path.encode(), kind, h5s.create_simple(field.shape), plist)


def _selected(space: h5s.SpaceID, start: Sequence[int], count: tuple[int, ...]) -> h5s.SpaceID:
    space.select_hyperslab(tuple(start), count)
    return space
