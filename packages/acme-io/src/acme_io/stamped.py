"""One container with real datasets for many calls, of which the library makes only the frame.

::

    user block │ superblock, empty root │ data, as it comes │ headers │ attributes and links
                  made in memory           `add`              stamped   by the library, in `finish`

`acme_io.assembly` makes the same container by the library alone: for few calls, and where it turns
out that this way is not possible.
"""

import re
import struct
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from h5py import h5d, h5g

from . import files, layout
from .assembly import Dataset, Part, changed
from .attributes import column_ranges
from .container import Description, describe_container
from .hdf5 import Field, MemoryFile, as_bytes, container_properties
from .headers import Pattern, pattern_for
from .lines import CannotFindError, RecordLines
from .linking import FEWEST_LINKS, CannotLinkError, Metadata, link_to_placeholder, point_links
from .lookup3 import lookup3
from .parts import PartFile
from .payload import combined_checksum
from .seal import LARGE, Checksum, Seal, block_size, checksum
from .templates import structure_of
from .writing import Draft, write_exactly

__all__ = ["StampedAssembler"]

Array = np.ndarray[Any, Any]

_ALIGN = 8  # bytes; everything begins at a multiple of it
_BUFFER = (
    2 << 20
)  # bytes that are read, summed up and written while they are in the processor's cache
_FEW = 16  # structures; more must be worth it
_HEADERS = 4096  # calls whose headers are made at once


class _Alike:
    """Calls of one structure: their numbers go into the headers of one pattern."""

    def __init__(self, pattern: Pattern, fields: Sequence[Field]) -> None:
        self.pattern, self._fields = pattern, fields
        self._with_data = [at for at, field in enumerate(fields) if field.nbytes]
        self.calls = array("Q")
        self.numbers = array("Q")  # per dataset with data: address, size, lengths

    def add(self, call: int, fields: Sequence[Field], addresses: Sequence[int]) -> None:
        """Take a call; there is an address for every dataset."""
        self.calls.append(call)
        for at in self._with_data:
            field = fields[at]
            self.numbers.extend((addresses[at], field.nbytes, *(field.shape or ())))

    def headers(self, start: int) -> Iterator[Array]:
        """Make the headers of all these calls, some at a time."""
        rows = np.frombuffer(self.numbers, "<u8").reshape(len(self.calls), -1)
        size = len(self.pattern.content)
        for first in range(0, len(rows), _HEADERS):
            yield self.pattern.stamp(rows[first : first + _HEADERS], start + first * size)

    def check(self, row: int, group: Any, block: int) -> None:
        """Raise unless the library reads from the headers of a call what was put into them."""
        width = len(self.numbers) // len(self.calls)
        numbers = self.numbers[row * width : (row + 1) * width].tolist()
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
    """Assembles a container of which the library makes only the frame; see `Assembling`.

    Raises
    ------
    CannotLinkError
        This version of the library makes other files than expected; also from the methods.
    """

    def __init__(self, path: Path, run_id: str, n_calls: int, n_large: int) -> None:
        self._path, self._run_id, self._n_calls = path, run_id, n_calls
        self._block = block_size(n_calls * n_large + 8, run_id)
        self._frame = bytearray(MemoryFile(container_properties(self._block), dense=True).image())
        if self._frame[8] != 2 or _sum_of_superblock(self._frame) != self._frame[44:48]:
            raise CannotLinkError(f"superblocks of version {self._frame[8]} are not known")
        self._draft = Draft(path, self._block, dense=True)
        self._alike: dict[Any, _Alike] = {}
        self._ranges: list[tuple[int, int, int]] = []
        self._n_added = 0
        self._buffer = np.empty(_BUFFER, "u1")
        self._used = 0  # bytes that wait in the buffer
        self._end = len(self._frame) + -len(self._frame) % _ALIGN  # address, without user block
        self._draft.file.seek(self._block + self._end)

    def add(self, call: int, datasets: Iterable[Dataset], known: int) -> None:
        """Add the datasets of one call."""
        listed = list(datasets)
        fields = tuple(field for field, _ in listed)
        checksums, addresses = [], []
        for field, content in listed:
            addresses.append(self._end)
            view = memoryview(b"") if content is None else as_bytes(content)
            checksums.append(0 if content is None else checksum(view))
            if field.nbytes >= LARGE:
                self._ranges.append((self._block + self._end, field.nbytes, checksums[-1]))
            self._append(view)
        if combined_checksum(checksums) != known:
            raise changed(call)
        self._note(call, fields, addresses)

    def take(self, part: Part, calls: Sequence[int], known: Sequence[int]) -> None:
        """Add calls of a part."""
        if not isinstance(part, PartFile):
            for call, one in zip(calls, known, strict=True):
                self.add(call, part.datasets(call), one)
            return
        for some, start, length in part.neighbours(calls, len(self._buffer)):
            if length > len(self._buffer):
                self._take_large(part, calls[some][0], known[some][0])
                continue
            if self._used + length > len(self._buffer):
                self._write_buffer()
            view = self._buffer.data[self._used : self._used + length]
            part.read_into(view, start)
            for call, one in zip(calls[some], known[some], strict=True):
                self._take_call(part, call, one, view[part.start(call) - start :])
            self._used += length

    def _take_call(self, part: PartFile, call: int, known: int, view: memoryview) -> None:
        """Check a call whose data are in the buffer, and note where they are to lie."""
        fields, offsets, length = part.packing(call)
        checksums, addresses = [], []
        for field, at in zip(fields, offsets, strict=True):
            nbytes, address = field.nbytes, self._end + at
            own = 0 if field.shape is None else checksum(view[at : at + nbytes])
            if nbytes >= LARGE:
                self._ranges.append((self._block + address, nbytes, own))
            checksums.append(own)
            addresses.append(address)
        if combined_checksum(checksums) != known:
            raise changed(call)
        self._note(call, fields, addresses)
        self._end += length

    def _take_large(self, part: PartFile, call: int, known: int) -> None:
        """Copy a call that the buffer does not hold, piece by piece."""
        self._write_buffer()
        fields, offsets, length = part.packing(call)
        checksums = []
        for field, at in zip(fields, offsets, strict=True):
            own = 0 if field.shape is None else self._copy(part, part.start(call) + at, field)
            if field.nbytes >= LARGE:
                self._ranges.append((self._block + self._end + at, field.nbytes, own))
            checksums.append(own)
        if combined_checksum(checksums) != known:
            raise changed(call)
        self._note(call, fields, [self._end + at for at in offsets])
        self._end += length

    def _copy(self, part: PartFile, start: int, field: Field) -> int:
        """Copy the bytes of one dataset and what they are padded with; returns their checksum."""
        running = Checksum(field.nbytes)
        padded = field.nbytes + -field.nbytes % _ALIGN
        for first in range(0, padded, len(self._buffer)):
            self._used = min(len(self._buffer), padded - first)
            view = self._buffer.data[: self._used]
            part.read_into(view, start + first)
            running.update(view[: field.nbytes - first])
            self._write_buffer()
        return running.value()

    def _note(self, call: int, fields: tuple[Field, ...], addresses: Sequence[int]) -> None:
        key = structure_of(fields)
        alike = self._alike.get(key)
        if alike is None:
            pattern = pattern_for(fields)
            if pattern is None or len(self._alike) > _FEW + self._n_added // _FEW:
                raise CannotLinkError("there is no pattern for these datasets, or too many")
            alike = self._alike[key] = _Alike(pattern, fields)
        self._n_added += 1
        alike.add(call, fields, addresses)

    def _append(self, view: memoryview) -> None:
        """Take bytes for the end of the file, and what they are padded with."""
        padding = bytes(-len(view) % _ALIGN)
        self._end += len(view) + len(padding)
        for piece in (view, memoryview(padding)):
            if self._used + len(piece) > len(self._buffer):
                self._write_buffer()
            if len(piece) > len(self._buffer):
                write_exactly(self._draft.file, piece)
                continue
            self._buffer[self._used : self._used + len(piece)] = piece
            self._used += len(piece)

    def _write_buffer(self) -> None:
        write_exactly(self._draft.file, self._buffer.data[: self._used])
        self._draft.written_up_to(self._draft.file.tell())
        self._used = 0

    def finish(self, about: Description, lines: RecordLines) -> None:
        """Write headers and record and give the container its name."""
        try:
            addresses, calls = self._write_headers()
            if len(calls) < FEWEST_LINKS:
                raise CannotLinkError("there are too few calls with a result")
            start = self._block + self._end
            self._write_frame()
            draft = self._draft
            draft.open_hdf5()
            describe_container(draft.root, about)
            lines.declare(draft.root)
            placeholder = link_to_placeholder(draft.root, map(_name, calls))
            draft.close_hdf5()
            text = lines.fill(draft.file, start)
            skip = range(text[0][0], text[0][0] + text[0][1]) if text else range(start, start)
            found, samples = point_links(
                draft.file,
                Metadata(self._block, start, skip),
                placeholder,
                _NAMES,
                lambda name: int(addresses[int(name[_DIGITS:])]),
            )
            if found != len(calls):
                raise CannotLinkError(f"{found} of {len(calls)} links were found")
            self._check(samples, len(calls))
            text += column_ranges(draft.file, about.all_columns())
            seal = Seal("container", self._run_id, range(self._n_calls))
            draft.publish(seal, [*self._ranges, *text], flush=True)
            files.flush_folder(self._path.parent)
        except CannotFindError as error:
            self.abort()
            raise CannotLinkError(str(error)) from error
        except BaseException:
            self.abort()
            raise

    def _write_headers(self) -> tuple[Array, Array]:
        """Write the headers of all calls; returns the addresses by call, and the calls in order."""
        self._write_buffer()
        addresses = np.zeros(self._n_calls, "<u8")
        for alike in self._alike.values():
            for made in alike.headers(self._end):
                write_exactly(self._draft.file, as_bytes(made))
            size = len(alike.pattern.content)
            end = self._end + size * len(alike.calls)
            addresses[alike.calls] = np.arange(self._end, end, size)
            self._end = end
        return addresses, np.flatnonzero(addresses)

    def _write_frame(self) -> None:
        """Write the beginning of the file: for HDF5, what comes behind it is in use."""
        struct.pack_into("<Q", self._frame, _END_OF_FILE, self._block + self._end)
        self._frame[44:48] = _sum_of_superblock(self._frame)
        self._draft.file.seek(self._block)
        write_exactly(self._draft.file, memoryview(bytes(self._frame)))

    def _check(self, samples: Iterable[bytes], n_links: int) -> None:
        """Let HDF5 read one call from every block of links, and one of every structure."""
        wanted = {int(name[_DIGITS:]) for name in samples}
        self._draft.open_hdf5(read_only=True)
        try:
            root = self._draft.root
            if root.get_num_objs() != n_links:
                raise CannotLinkError(f"the file has {root.get_num_objs()} groups, not {n_links}")
            for alike in self._alike.values():
                last = len(alike.calls) - 1
                for row, call in enumerate(alike.calls):
                    if row == last or call in wanted:
                        group = h5g.open(root, _name(call))
                        alike.check(row, group, self._block)
        except (KeyError, OSError, RuntimeError, ValueError) as error:
            raise CannotLinkError(str(error)) from error
        finally:
            self._draft.close_hdf5()

    def abort(self) -> None:
        """Remove what there is."""
        self._draft.abort()


_DIGITS = len(layout.call_group(0)) - 1  # where in the name of a group its number begins
_NAMES = re.escape(layout.call_group(0).encode()[:_DIGITS]) + rb"\d+"
_END_OF_FILE = 28  # where a superblock of version 2 says how long the file is


def _name(call: int) -> bytes:
    return layout.call_group(call).encode()


def _sum_of_superblock(frame: bytearray) -> bytes:
    return struct.pack("<I", lookup3(frame[:44]))
