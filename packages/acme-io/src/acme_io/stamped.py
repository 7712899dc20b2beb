"""One container with real datasets for many calls, of which the library makes only the frame.

::

    user block │ superblock, empty root │ data, as it comes │ headers │ attributes and links
                  made in memory           `add`              stamped   by the library, in `finish`

`acme_io.assembly` makes the same container by the library alone: for few calls, and where it turns
out that this way is not possible.
"""

import os
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from h5py import h5d, h5g

from . import files, layout
from .assembly import write_records
from .container import Description, describe_container
from .errors import DamagedFileError
from .hdf5 import Field, MemoryFile, as_bytes, container_properties
from .headers import Pattern, pattern_for
from .linking import FEWEST_LINKS, CannotLinkError, link_to_placeholder, point_links
from .lookup3 import lookup3
from .payload import combined_checksum
from .seal import LARGE, LargeChecksum, Seal, block_size
from .templates import structure_of
from .writing import Draft, write_exactly

__all__ = ["StampedAssembler"]

Array = np.ndarray[Any, Any]

_ALIGN = 8  # bytes; everything begins at a multiple of it
_BUFFER = 1 << 20  # bytes of small arrays that are written at once
_AT_ONCE = 1 << 21  # bytes that are summed up and written while they are in the processor's cache
_FEW = 16  # structures; more must be worth it
_AHEAD = 16 << 20  # bytes after which the system is asked to put them on the disk


class _Alike:
    """Calls of one structure: their numbers go into the headers of one pattern."""

    def __init__(self, pattern: Pattern, fields: Sequence[Field]) -> None:
        self.pattern, self._fields = pattern, fields
        self.calls: list[int] = []
        self.numbers: list[int] = []  # per dataset with data: address, size, lengths

    def headers(self, start: int) -> Array:
        """Make the headers of all these calls."""
        rows = np.array(self.numbers, "<u8").reshape(len(self.calls), -1)
        return self.pattern.stamp(rows, start)

    def check(self, row: int, group: Any, block: int) -> None:
        """Raise unless the library reads from the headers of a call what was put into them."""
        width = len(self.numbers) // len(self.calls)
        numbers = self.numbers[row * width : (row + 1) * width]
        for field in self._fields:
            dataset = h5d.open(group, field.path.encode())
            if field.nbytes and field.shape is not None:
                address, _, *lengths = numbers[: 2 + len(field.shape)]
                del numbers[: 2 + len(field.shape)]
                if dataset.get_offset() != address + block or list(dataset.shape) != lengths:
                    raise CannotLinkError(f"{field.path} does not read as it was written")
            if dataset.dtype != field.dtype and field.shape is not None:
                raise CannotLinkError(f"{field.path} has another type than was written")
        if group.get_num_objs() != len(self._fields):
            raise CannotLinkError("a group does not have the datasets that it was given")


class StampedAssembler:
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

    Raises
    ------
    CannotLinkError
        This version of the library makes other files than expected; also from the methods.
    """

    def __init__(self, path: Path, run_id: str, n_calls: int, n_large: int) -> None:
        self._path, self._run_id, self._n_calls = path, run_id, n_calls
        self._block = block_size(n_calls * n_large + 1, run_id)
        self._frame = bytearray(MemoryFile(container_properties(self._block), dense=True).image())
        if self._frame[8] != 2 or _sum_of_superblock(self._frame) != self._frame[44:48]:
            raise CannotLinkError(f"superblocks of version {self._frame[8]} are not known")
        self._draft = Draft(path, self._block, dense=True)
        self._alike: dict[Any, _Alike] = {}
        self._ranges: list[tuple[int, int, int]] = []
        self._n_added = 0
        self._small = bytearray()
        self._end = len(self._frame) + -len(self._frame) % _ALIGN  # address, without user block
        self._written = self._flushed = self._end
        self._draft.file.seek(self._block + self._end)

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
        listed = tuple(fields)
        alike = self._of_structure(listed)
        numbers, checksums = [], []
        for field, array in zip(listed, arrays, strict=True):
            if array is None:
                checksums.append(0)
                continue
            if field.nbytes:
                numbers += [self._end, field.nbytes, *array.shape]
            checksums.append(self._append(as_bytes(array)))
        if combined_checksum(checksums) != known:
            raise DamagedFileError(f"The result of call {call} changed after it was written.")
        self._n_added += 1
        alike.calls.append(call)
        alike.numbers += numbers

    def _of_structure(self, fields: tuple[Field, ...]) -> _Alike:
        key = structure_of(fields)
        alike = self._alike.get(key)
        if alike is None:
            pattern = pattern_for(fields)
            if pattern is None or len(self._alike) > _FEW + self._n_added // _FEW:
                raise CannotLinkError("there is no pattern for these datasets, or too many")
            alike = self._alike[key] = _Alike(pattern, fields)
        return alike

    def _append(self, view: memoryview) -> int:
        """Write the bytes of an array at the end of the file; returns their checksum."""
        running, start = LargeChecksum(), self._end
        if len(view) < LARGE:
            self._small += view
            running.update(view)
        else:
            self._write_small()
            for first in range(0, len(view), _AT_ONCE):
                piece = view[first : first + _AT_ONCE]
                running.update(piece)
                write_exactly(self._draft.file, piece)
            self._written += len(view)
            self._ranges.append((self._block + start, len(view), running.value()))
        gap = -len(view) % _ALIGN
        self._small += bytes(gap)
        self._end += len(view) + gap
        if len(self._small) >= _BUFFER:
            self._write_small()
        return running.value()

    def _write_small(self) -> None:
        write_exactly(self._draft.file, memoryview(bytes(self._small)))
        self._written += len(self._small)
        self._small.clear()

    def flush_ahead(self) -> None:
        """Have the disk begin with what there is, so that less is left for the end."""
        if self._written - self._flushed >= _AHEAD and hasattr(os, "fdatasync"):
            self._flushed = self._written
            os.fdatasync(self._draft.file.fileno())

    def finish(self, about: Description, records: Mapping[int, str]) -> None:
        """Write headers and record and give the container its name; it is on the disk then."""
        try:
            targets = self._write_headers()
            if len(targets) < FEWEST_LINKS:
                raise CannotLinkError("there are too few calls with a result")
            start = self._block + self._end
            self._write_frame()
            draft = self._draft
            draft.open_hdf5()
            describe_container(draft.root, about)
            text = write_records(draft.root, self._n_calls, records)
            placeholder = link_to_placeholder(draft.root, targets)
            draft.close_hdf5()
            samples = point_links(draft.file, self._block, start, placeholder, _NAMES, targets)
            self._check(samples, len(targets))
            seal = Seal("container", self._run_id, range(self._n_calls))
            draft.publish(seal, [*self._ranges, *draft.find(text)], flush=True)
            files.flush_folder(self._path.parent)
        except BaseException:
            self.abort()
            raise

    def _write_headers(self) -> dict[bytes, int]:
        """Write the headers of all calls; returns the address of each group, in order of calls."""
        self._write_small()
        addresses: dict[int, int] = {}
        for alike in self._alike.values():
            size = len(alike.pattern.content)
            made = alike.headers(self._end)
            write_exactly(self._draft.file, as_bytes(made))
            addresses.update(
                zip(alike.calls, range(self._end, self._end + made.size, size), strict=True)
            )
            self._end += made.size
        return {layout.call_group(call).encode(): addresses[call] for call in sorted(addresses)}

    def _write_frame(self) -> None:
        """Write the beginning of the file: for HDF5, what comes behind it is in use."""
        struct.pack_into("<Q", self._frame, _END_OF_FILE, self._block + self._end)
        self._frame[44:48] = _sum_of_superblock(self._frame)
        self._draft.file.seek(self._block)
        write_exactly(self._draft.file, memoryview(bytes(self._frame)))

    def _check(self, samples: Iterable[bytes], n_links: int) -> None:
        """Let HDF5 read one call from every block of links, and one of every structure."""
        wanted = set(samples)
        self._draft.open_hdf5(read_only=True)
        try:
            root = self._draft.root
            if root.get_num_objs() != n_links:
                raise CannotLinkError(f"the file has {root.get_num_objs()} groups, not {n_links}")
            for alike in self._alike.values():
                last = len(alike.calls) - 1
                for row, call in enumerate(alike.calls):
                    if row == last or layout.call_group(call).encode() in wanted:
                        group = h5g.open(root, layout.call_group(call).encode())
                        alike.check(row, group, self._block)
        except (KeyError, OSError, RuntimeError, ValueError) as error:
            raise CannotLinkError(str(error)) from error
        finally:
            self._draft.close_hdf5()

    def abort(self) -> None:
        """Remove what there is."""
        self._draft.abort()


_NAMES = re.escape(layout.call_group(0).encode()[:-1]) + rb"\d+"
_END_OF_FILE = 28  # where a superblock of version 2 says how long the file is


def _sum_of_superblock(frame: bytearray) -> bytes:
    return struct.pack("<I", lookup3(frame[:44]))
