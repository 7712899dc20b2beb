"""Create and read datasets by the thousand in one file, with as few library calls as possible."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from h5py import h5d, h5p, h5s

from acme_io.files.checksum import LARGE
from acme_io.hdf5.members import add_member
from acme_io.hdf5.objects import (
    Field,
    allocated_offset,
    file_number,
    hdf5_type,
    open_dataset,
)

__all__ = ["DatasetCreator", "read_alike"]

Array = np.ndarray[Any, Any]

# Bytes up to which data is stored in the object header of its dataset, which HDF5 writes anyway: a
# few numbers need no block of their own. The library's limit for such compact datasets is 64 kB.
_COMPACT = 1024

# Types and dataspaces kept for reuse. Runs in which every call has another shape must not fill the
# client's memory.
_MOST_KINDS = 1000


class DatasetCreator:
    """Creates datasets that share property lists, types and dataspaces."""

    def __init__(self) -> None:
        # Most calls of a run are alike, and making type and space anew takes 8 µs, for a dataset
        # that takes 17 µs itself.
        self._kinds: dict[Any, tuple[Any, Any]] = {}
        self._in_groups = h5p.create(h5p.LINK_CREATE)
        self._in_groups.set_create_intermediate_group(True)
        # HDF5 allocates contiguous data on the first write by default; a dataset that is written
        # around the library needs its address at once.
        self._contiguous = _dataset_properties()
        self._contiguous.set_alloc_time(h5d.ALLOC_TIME_EARLY)
        self._compact = _dataset_properties()
        self._compact.set_layout(h5d.COMPACT)

    def add(self, where: Any, field: Field, array: Array | None) -> int | None:
        """Create a dataset and the groups on its path; write its data if it is small.

        Returns
        -------
        int or None
            Offset at which the caller writes large data (`LARGE` bytes and more) into the file;
            None if nothing is left to write.
        """
        if field.shape is None or array is None:
            add_member(where, field)
            return None
        kind, space = self._kind_and_space(field)
        nbytes = field.nbytes
        plist = self._compact if nbytes <= _COMPACT else self._contiguous
        dataset = h5d.create(where, field.path.encode(), kind, space, plist, lcpl=self._in_groups)
        if nbytes >= LARGE:
            return allocated_offset(dataset)
        if nbytes:
            # With the type given, h5py does not translate the dtype again.
            dataset.write(h5s.ALL, h5s.ALL, np.ascontiguousarray(array), kind)
        return None

    def _kind_and_space(self, field: Field) -> tuple[Any, Any]:
        """Return type and space of a dataset."""
        key = field[1:]
        known = self._kinds.get(key)
        if known is None:
            if len(self._kinds) > _MOST_KINDS:
                self._kinds.clear()
            space = h5s.create_simple(field.shape) if field.shape else h5s.create(h5s.SCALAR)
            known = self._kinds[key] = (hdf5_type(field.dtype, field.text), space)
        return known


def read_alike(where: Any, paths: Sequence[str], *, numbers: bool) -> Array | None:
    """Read small datasets of one shape and dtype into the rows of one array.

    Parameters
    ----------
    where : h5py.h5f.FileID or h5py.h5g.GroupID
        The file or group.
    paths : sequence of str
        The datasets, at least one.
    numbers : bool
        Whether all are known to hold one number of the dtype of the first; then only the number of
        elements is checked, in a fifth of the time that a look at shape and type takes.

    Returns
    -------
    numpy.ndarray or None
        Shape `(len(paths), ...)`; None if they differ, or are not small native numbers.
    """
    first = open_dataset(where, paths[0])
    space, kind, dtype = first.get_space(), first.get_type(), first.dtype
    if space.get_simple_extent_type() == h5s.NULL:
        return None
    shape, size = space.shape, int(np.prod(space.shape))
    small = size * dtype.itemsize < LARGE
    if not small or dtype.kind not in "biufc" or not dtype.isnative or (numbers and size != 1):
        return None
    rows = np.empty((len(paths), size), dtype)
    if not size:
        return rows.reshape((len(paths), *shape))
    # With a dataspace of its own, the library refuses a dataset with another number of elements,
    # which would not fit into the row.
    memory = h5s.create_simple((size,))
    file = file_number(where)
    for row, path in zip(rows, paths, strict=True):
        dataset = h5d.open(where, path.encode())
        if file_number(dataset) != file:
            return None  # a link out of the file, which is refused call by call
        if not numbers and (dataset.shape != shape or dataset.get_type() != kind):
            return None
        dataset.read(memory, h5s.ALL, row, kind)
    return rows.reshape((len(paths), *shape))


def _dataset_properties() -> h5p.PropDCID:
    properties = h5p.create(h5p.DATASET_CREATE)
    # No time stamps in object headers: equal results make equal files.
    properties.set_obj_track_times(False)
    # The data follows at once, so HDF5 need not initialize the space.
    properties.set_fill_time(h5d.FILL_TIME_NEVER)
    return properties
