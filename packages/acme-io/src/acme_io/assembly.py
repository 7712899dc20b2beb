"""One container with real datasets, assembled call by call."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from h5py import h5d, h5p, h5s

from . import files, layout
from .container import Description, describe_container
from .errors import DamagedFileError
from .hdf5 import Field, add_dataset, as_bytes, hdf5_type, write_column, write_text
from .payload import array_checksum, combined_checksum
from .seal import LARGE, Seal, block_size
from .writing import NewFile, write_exactly

__all__ = ["Assembler", "write_records"]

Array = np.ndarray[Any, Any]


class Assembler:
    """A container on its way: under a temporary name until `finish`.

    Parameters
    ----------
    path : pathlib.Path
        Final name of the container.
    run_id : str
        The run's id.
    n_calls : int
        Number of calls of the run.
    n_large : int
        How many large datasets a call is expected to have; room in the seal is kept for them.
    """

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
        self._new = NewFile(path, block_size(n_calls * n_large + 1, run_id), dense=True)

    def add(
        self, call: int, fields: Iterable[Field], arrays: Iterable[Array | None], known: int
    ) -> None:
        """Add the datasets of one call.

        Parameters
        ----------
        call : int
            The call; it must be new.
        fields, arrays : iterable
            Its datasets and their contents.
        known : int
            Checksum of the contents, as the worker saw them.

        Raises
        ------
        DamagedFileError
            The contents are not what the worker wrote.
        """
        contents = list(arrays)
        checksums = [array_checksum(array) for array in contents]
        if combined_checksum(checksums) != known:
            raise DamagedFileError(f"The result of call {call} changed after it was written.")
        group = layout.call_group(call)
        for field, array, own in zip(fields, contents, checksums, strict=True):
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

    def finish(self, about: Description, records: Mapping[int, str]) -> None:
        """Write the record and give the container its name; it is on the disk then."""
        try:
            describe_container(self._new.root, about)
            text = write_records(self._new.root, self._n_calls, records)
            seal = Seal("container", self._run_id, range(self._n_calls))
            self._new.publish(seal, [*self._ranges, *self._new.find(text)], flush=True)
            files.flush_folder(self._path.parent)
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Remove what there is."""
        self._new.abort()


def write_records(root: Any, n_calls: int, records: Mapping[int, str]) -> bytes:
    """Write the records of all calls into one attribute, and where each ends into another."""
    lines = [records.get(call, "") for call in range(n_calls)]
    ends = np.cumsum([len(line) + 1 for line in lines], dtype="<u8")  # records are ASCII
    text = "\n".join(lines).encode()
    write_column(root, "calls_end", ends)
    write_text(root, "calls", text)
    return text
