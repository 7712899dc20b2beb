"""Assemble one container with ordinary datasets from the part files of a run."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from acme_io import layout
from acme_io.errors import DamagedFileError
from acme_io.files import atomic
from acme_io.files.checksum import as_bytes, checksum, combined, fits
from acme_io.files.header import FLAT_VERSION, FORMAT_VERSION, FileHeader, block_size
from acme_io.hdf5.attributes import column_ranges
from acme_io.hdf5.container import Description, describe_container
from acme_io.hdf5.many_datasets import DatasetCreator
from acme_io.hdf5.members import names_of
from acme_io.hdf5.new_file import NewFile, write_exactly
from acme_io.hdf5.objects import Field, create_group
from acme_io.hdf5.record_lines import RecordLines

__all__ = ["Assembler", "Part", "write_record"]

Array = np.ndarray[Any, Any]

Dataset = tuple[Field, Array | None]

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
        self._version = FLAT_VERSION
        self._creator = DatasetCreator()
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
        names = names_of([field for field, _ in contents])
        if names:
            self._version = FORMAT_VERSION
        # `fits` computes everything again, also in the way of format version 1.
        if combined(checksums, names) != known and not fits(known, arrays, names):
            raise DamagedFileError(f"The result of call {call} changed after it was written.")
        group = layout.call_group(call)
        # One result, the usual case: a single library call makes group and dataset.
        if len(contents) == 1:
            field, array = contents[0]
            self._add(self._new.root, f"{group}/{field.path}", field, array, checksums[0])
            return
        # Several: look names up in the small group, instead of once per dataset in the root, which
        # may have many thousand members.
        where = create_group(self._new.root, group)
        for (field, array), own in zip(contents, checksums, strict=True):
            self._add(where, field.path, field, array, own)

    def _add(self, where: Any, path: str, field: Field, array: Array | None, own: int) -> None:
        offset = self._creator.add(where, field._replace(path=path), array)
        # Large data goes directly into the file, from where it is in memory. Its checksum goes into
        # the header, where readers find it by offset.
        if offset is not None and array is not None:
            self._new.file.seek(offset)
            write_exactly(self._new.file, as_bytes(array))
            self._ranges.append((offset, field.nbytes, own))

    def finish(self, about: Description, lines: RecordLines) -> None:
        """Write the record, flush the container to disk and give it its final name."""
        try:
            found = write_record(self._new, about, lines)
            calls = range(self._n_calls)
            header = FileHeader("container", self._run_id, calls, version=self._version)
            self._new.publish(header, [*self._ranges, *found], flush=True)
            atomic.flush_folder(self._path.parent)
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Remove the unfinished file."""
        self._new.abort()


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
