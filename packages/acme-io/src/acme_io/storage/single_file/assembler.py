"""Assemble one container with ordinary datasets from the part files of a run."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from h5py import h5d, h5g, h5p, h5s

from acme_io import layout
from acme_io.errors import DamagedFileError
from acme_io.files import atomic
from acme_io.files.checksum import LARGE, as_bytes, checksum, combined, fits
from acme_io.files.header import FileHeader, block_size
from acme_io.hdf5.attributes import column_ranges
from acme_io.hdf5.container import Description, describe_container
from acme_io.hdf5.new_file import NewFile, write_exactly
from acme_io.hdf5.objects import Field, add_dataset, hdf5_type
from acme_io.hdf5.record_lines import RecordLines

__all__ = ["Assembler", "Part", "write_record"]

Array = np.ndarray[Any, Any]

Dataset = tuple[Field, Array | None]

# Bytes up to which data is stored in the object header of its dataset, which HDF5 writes anyway: a
# few numbers need no block of their own. The library's limit for such compact datasets is 64 kB.
_COMPACT = 1024

# Bytes before the end of the file within which the text of the records is searched: HDF5 reuses
# space that it freed, but not from further back than this.
_NEAR_END = 8 << 20


class Part(Protocol):
    """A file with results of calls."""

    path: Path

    def __contains__(self, call: int) -> bool:
        """Whether this file has the result of a call."""

    def record(self, call: int) -> str:
        """Return the record of a call."""

    def datasets(self, call: int) -> list[Dataset]:
        """Read the datasets of a call."""

    def close(self) -> None:
        """Close the file."""


class Assembler:
    """Writes a container, under a temporary name until `finish`.

    Parameters
    ----------
    path : pathlib.Path
        Final name of the container.
    run_id : str
        The run's id.
    n_calls : int
        Number of calls of the run.
    n_large : int
        Expected number of large datasets per call. The header of the file reserves room for their
        checksums; more of them than that are covered by the checksum of the rest of the file.
    """

    def __init__(self, path: Path, run_id: str, n_calls: int, n_large: int) -> None:
        self._path, self._run_id, self._n_calls = path, run_id, n_calls
        self._ranges: list[tuple[int, int, int]] = []
        # Types and spaces of datasets. Most calls of a run are alike, and making both anew takes
        # 8 µs, for a dataset that takes 17 µs itself.
        self._kinds: dict[Any, tuple[Any, Any]] = {}
        self._in_groups = h5p.create(h5p.LINK_CREATE)
        self._in_groups.set_create_intermediate_group(True)
        # HDF5 allocates contiguous data on the first write by default; a dataset that is written
        # around the library needs its address at once.
        self._contiguous = _dataset_properties()
        self._contiguous.set_alloc_time(h5d.ALLOC_TIME_EARLY)
        self._compact = _dataset_properties()
        self._compact.set_layout(h5d.COMPACT)
        # 8 more ranges for long attributes: the records and the columns of the call table.
        self._new = NewFile(path, block_size(n_calls * n_large + 8, run_id), dense=True)

    def take(self, part: Part, calls: Sequence[int], known: Sequence[int]) -> None:
        """Add calls of a part file.

        Parameters
        ----------
        part : Part
            The file.
        calls : sequence of int
            Calls with results in it.
        known : sequence of int
            Their checksums, as for `add`.
        """
        for call, one in zip(calls, known, strict=True):
            self.add(call, part.datasets(call), one)

    def add(self, call: int, datasets: Iterable[Dataset], known: int) -> None:
        """Add the datasets of one call.

        Parameters
        ----------
        call : int
            A call that was not added before.
        datasets : iterable of (Field, numpy.ndarray or None)
            The datasets of the call and their contents.
        known : int
            Checksum of the contents, computed by the worker.

        Raises
        ------
        DamagedFileError
            The contents do not match the checksum.
        """
        contents = list(datasets)
        arrays = [array for _, array in contents]
        checksums = [0 if array is None else checksum(as_bytes(array)) for array in arrays]
        # `fits` computes everything again, also in the way of format version 1.
        if combined(checksums) != known and not fits(known, arrays):
            raise DamagedFileError(f"The result of call {call} changed after it was written.")
        group = layout.call_group(call)
        # One result, the usual case: a single library call makes group and dataset.
        if len(contents) == 1:
            field, array = contents[0]
            self._add(self._new.root, f"{group}/{field.path}", field, array, checksums[0])
            return
        # Several: look names up in the small group, instead of once per dataset in the root, which
        # may have many thousand members.
        where = h5g.create(self._new.root, group.encode())
        for (field, array), own in zip(contents, checksums, strict=True):
            self._add(where, field.path, field, array, own)

    def _add(self, where: Any, path: str, field: Field, array: Array | None, own: int) -> None:
        if field.shape is None or array is None:
            add_dataset(where, field._replace(path=path))
            return
        kind, space = self._kind_and_space(field)
        nbytes = field.nbytes
        plist = self._compact if nbytes <= _COMPACT else self._contiguous
        dataset = h5d.create(where, path.encode(), kind, space, plist, lcpl=self._in_groups)
        # Large data goes directly into the file, from where it is in memory. Its checksum goes into
        # the header, where readers find it by offset.
        if nbytes >= LARGE:
            offset = dataset.get_offset()
            self._new.file.seek(offset)
            write_exactly(self._new.file, as_bytes(array))
            self._ranges.append((offset, nbytes, own))
        elif nbytes:
            dataset.write(h5s.ALL, h5s.ALL, np.ascontiguousarray(array), kind)

    def _kind_and_space(self, field: Field) -> tuple[Any, Any]:
        """Return type and space of a dataset."""
        key = field[1:]
        known = self._kinds.get(key)
        if known is None:
            # Runs in which every call has another shape must not fill the client's memory.
            if len(self._kinds) > 1000:
                self._kinds.clear()
            space = h5s.create_simple(field.shape) if field.shape else h5s.create(h5s.SCALAR)
            known = self._kinds[key] = (hdf5_type(field.dtype, field.text), space)
        return known

    def finish(self, about: Description, lines: RecordLines) -> None:
        """Write the record, flush the container to disk and give it its final name."""
        try:
            found = write_record(self._new, about, lines)
            header = FileHeader("container", self._run_id, range(self._n_calls))
            self._new.publish(header, [*self._ranges, *found], flush=True)
            atomic.flush_folder(self._path.parent)
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Remove the unfinished file."""
        self._new.abort()


def _dataset_properties() -> h5p.PropDCID:
    properties = h5p.create(h5p.DATASET_CREATE)
    # No time stamps in object headers: equal results make equal files.
    properties.set_obj_track_times(False)
    # The data follows at once, so HDF5 need not initialize the space.
    properties.set_fill_time(h5d.FILL_TIME_NEVER)
    return properties


def write_record(
    new: NewFile, about: Description, lines: RecordLines
) -> list[tuple[int, int, int]]:
    """Write the record of a run into the root group of a new file; HDF5 closes the file.

    Returns
    -------
    list of (int, int, int)
        Offset, length and checksum of each long attribute.
    """
    # HDF5 must have closed the file before the text of the records is written into it directly.
    start = max(new.file.seek(0, 2) - _NEAR_END, 0)
    describe_container(new.root, about)
    lines.declare(new.root)
    new.close_hdf5()
    return lines.fill(new, start) + column_ranges(new.file, about.all_columns())
