"""One container with real datasets, assembled call by call."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from h5py import h5d, h5f, h5g, h5p, h5s

from . import files, layout
from .container import Description, describe_container
from .errors import DamagedFileError
from .hdf5 import Field, add_dataset, as_bytes, hdf5_type, write_column, write_text
from .payload import create_on_disk, data_checksum, write_exactly
from .seal import LARGE, Seal, block_size, checksum, seal_file

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
        self._path, self._temporary = path, files.temporary_path(path)
        self._block = block_size(n_calls * n_large, run_id)
        self._ranges: list[tuple[int, int, int]] = []
        self._kinds: dict[Any, tuple[Any, Any]] = {}
        self._in_groups = h5p.create(h5p.LINK_CREATE)
        self._in_groups.set_create_intermediate_group(True)
        self._plist = h5p.create(h5p.DATASET_CREATE)
        self._plist.set_obj_track_times(False)
        self._plist.set_alloc_time(h5d.ALLOC_TIME_EARLY)
        self._plist.set_fill_time(h5d.FILL_TIME_NEVER)
        self._fid: h5f.FileID = create_on_disk(self._temporary, self._block, dense=True)
        try:
            self._root = h5g.open(self._fid, b"/")
            self._file = open(self._temporary, "rb+", buffering=0)  # noqa: SIM115
        except BaseException:
            self._fid.close()
            files.remove(self._temporary)
            raise

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
        if data_checksum(contents) != known:
            raise DamagedFileError(f"The result of call {call} changed after it was written.")
        group = layout.call_group(call)
        for field, array in zip(fields, contents, strict=True):
            self._add(f"{group}/{field.path}".encode(), field, array)

    def _add(self, path: bytes, field: Field, array: Array | None) -> None:
        if field.shape is None or array is None:
            add_dataset(self._root, field._replace(path=path.decode()))
            return
        key = field[1:]
        known = self._kinds.get(key)
        if known is None:
            space = h5s.create_simple(field.shape) if field.shape else h5s.create(h5s.SCALAR)
            known = self._kinds[key] = (hdf5_type(field.dtype, field.text), space)
            if len(self._kinds) > 1000:
                self._kinds.clear()
        kind, space = known
        dataset = h5d.create(self._root, path, kind, space, self._plist, lcpl=self._in_groups)
        if field.nbytes < LARGE:
            if field.nbytes:
                dataset.write(h5s.ALL, h5s.ALL, np.ascontiguousarray(array), kind)
            return
        data, offset = as_bytes(array), dataset.get_offset()
        self._file.seek(offset)
        write_exactly(self._file, data)
        self._ranges.append((offset, len(data), checksum(data)))

    def finish(self, about: Description, records: Mapping[int, str]) -> None:
        """Write the record and give the container its name; it is on the disk then."""
        try:
            describe_container(self._root, about)
            write_records(self._root, len(about.table), records)
            self._fid.close()
            n_calls = len(about.table)
            seal = Seal("container", about.stamp.run_id, range(n_calls), self._block)
            seal_file(seal, self._file, self._ranges)
            os.fsync(self._file.fileno())
            self._file.close()
            os.replace(self._temporary, self._path)
            files.flush_folder(self._path.parent)
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Remove what there is."""
        if self._fid.valid:
            self._fid.close()
        self._file.close()
        files.remove(self._temporary)


def write_records(root: Any, n_calls: int, records: Mapping[int, str]) -> None:
    """Write the records of all calls into one attribute, and where each ends into another."""
    lines = [records.get(call, "") for call in range(n_calls)]
    ends = np.cumsum([len(line) + 1 for line in lines], dtype="<u8")  # records are ASCII
    write_text(root, "calls", "\n".join(lines).encode())
    write_column(root, "calls_end", ends)
