"""One container with real datasets, assembled from the parts of a run.

There are two ways, with the same result: this one, by the HDF5 library alone, and the one of
`acme_io.stamped`, which is quicker for many calls.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from h5py import h5d, h5p, h5s

from . import files, layout
from .attributes import column_ranges
from .container import Description, describe_container
from .errors import DamagedFileError
from .hdf5 import Field, add_dataset, as_bytes, hdf5_type
from .lines import RecordLines
from .payload import array_checksum, combined_checksum
from .seal import LARGE, Seal, block_size
from .writing import NewFile, write_exactly

__all__ = ["Assembling", "LibraryAssembler", "Part", "changed"]

Array = np.ndarray[Any, Any]

Dataset = tuple[Field, Array | None]


class Part(Protocol):
    """A file that holds results of calls."""

    path: Path

    def __contains__(self, call: int) -> bool:
        """Whether a call has a result here."""

    def record(self, call: int) -> str:
        """Return the record of a call."""

    def datasets(self, call: int) -> list[Dataset]:
        """Read the datasets of a call."""

    def close(self) -> None:
        """Let go of the file."""


class Assembling(Protocol):
    """A container on its way: under a temporary name until `finish`.

    Made from the final name of the container, the run's id, the number of calls of the run, and how
    many large datasets a call is expected to have; room in the seal is kept for them.
    """

    def add(self, call: int, datasets: Iterable[Dataset], known: int) -> None:
        """Add the datasets of one call.

        Parameters
        ----------
        call : int
            The call; it must be new.
        datasets : iterable of (Field, numpy.ndarray or None)
            Its datasets and their contents.
        known : int
            Checksum of the contents, as the worker saw them.

        Raises
        ------
        DamagedFileError
            The contents are not what the worker wrote.
        """

    def take(self, part: Part, calls: Sequence[int], known: Sequence[int]) -> None:
        """Add calls of a part, as `add` does."""

    def finish(self, about: Description, lines: RecordLines) -> None:
        """Write the record and give the container its name; it is on the disk then."""

    def abort(self) -> None:
        """Remove what there is."""


def changed(call: int) -> DamagedFileError:
    """Return the error to raise if the checksum of a call is not the known one."""
    return DamagedFileError(f"The result of call {call} changed after it was written.")


class LibraryAssembler:
    """Assembles a container by the HDF5 library; see `Assembling`."""

    def __init__(self, path: Path, run_id: str, n_calls: int, n_large: int) -> None:
        self._path, self._run_id, self._n_calls = path, run_id, n_calls
        self._ranges: list[tuple[int, int, int]] = []
        self._kinds: dict[Any, tuple[Any, Any]] = {}
        self._in_groups = h5p.create(h5p.LINK_CREATE)
        self._in_groups.set_create_intermediate_group(True)
        self._plist = h5p.create(h5p.DATASET_CREATE)
        self._plist.set_obj_track_times(False)
        self._plist.set_alloc_time(h5d.ALLOC_TIME_EARLY)
        self._plist.set_fill_time(h5d.FILL_TIME_NEVER)
        self._new = NewFile(path, block_size(n_calls * n_large + 8, run_id), dense=True)

    def take(self, part: Part, calls: Sequence[int], known: Sequence[int]) -> None:
        """Add calls of a part."""
        for call, checksum in zip(calls, known, strict=True):
            self.add(call, part.datasets(call), checksum)

    def add(self, call: int, datasets: Iterable[Dataset], known: int) -> None:
        """Add the datasets of one call."""
        contents = list(datasets)
        checksums = [array_checksum(array) for _, array in contents]
        if combined_checksum(checksums) != known:
            raise changed(call)
        group = layout.call_group(call)
        for (field, array), own in zip(contents, checksums, strict=True):
            self._add(f"{group}/{field.path}".encode(), field, array, own)

    def _add(self, path: bytes, field: Field, array: Array | None, own: int) -> None:
        if field.shape is None or array is None:
            add_dataset(self._new.root, field._replace(path=path.decode()))
            return
        kind, space = self._kind_and_space(field)
        dataset = h5d.create(self._new.root, path, kind, space, self._plist, lcpl=self._in_groups)
        nbytes = field.nbytes
        if nbytes >= LARGE:
            offset = dataset.get_offset()
            self._new.file.seek(offset)
            write_exactly(self._new.file, as_bytes(array))
            self._ranges.append((offset, nbytes, own))
        elif nbytes:
            dataset.write(h5s.ALL, h5s.ALL, np.ascontiguousarray(array), kind)

    def _kind_and_space(self, field: Field) -> tuple[Any, Any]:
        """Make type and space of a dataset; most calls of a run are alike."""
        key = field[1:]
        known = self._kinds.get(key)
        if known is None:
            if len(self._kinds) > 1000:
                self._kinds.clear()
            space = h5s.create_simple(field.shape) if field.shape else h5s.create(h5s.SCALAR)
            known = self._kinds[key] = (hdf5_type(field.dtype, field.text), space)
        return known

    def finish(self, about: Description, lines: RecordLines) -> None:
        """Write the record and give the container its name."""
        try:
            describe_container(self._new.root, about)
            text = lines.write(self._new.root)
            seal = Seal("container", self._run_id, range(self._n_calls))
            found = self._new.find(text) + column_ranges(self._new.file, about.all_columns())
            self._new.publish(seal, [*self._ranges, *found], flush=True)
            files.flush_folder(self._path.parent)
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Remove what there is."""
        self._new.abort()
