"""Where the calls of a run lie: one source per way of storing them.

A source answers three questions about a call: what became of it, which arrays it has, and what is
on record about it. `acme_io.reader` makes Python values of the answers.
"""

import bisect
import json
import os
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from h5py import h5a, h5d, h5f, h5g

from . import layout
from .errors import DamagedFileError, MissingCallError, UnknownFileError
from .hdf5 import read_array, read_column, read_text
from .opening import SealedFile
from .pickling import read_pickle, read_pickle_record
from .record import (
    DONE,
    MISSING,
    PICKLED,
    CallTable,
    RunInfo,
    call_from_json,
    failures_from_json,
    run_from_json,
)
from .seal import Seal
from .slots import Slots
from .stacking import StackedFile, as_given, blank_rows, records_of

__all__ = [
    "LinkedSource",
    "PickleSource",
    "SingleSource",
    "Source",
    "StackedSource",
    "StoredCall",
    "read_container",
]

Array = np.ndarray[Any, Any]


class StoredCall(NamedTuple):
    """One call as it is stored: its record and the arrays of its values."""

    record: dict[str, Any]
    arrays: list[Array | None]


class Container(NamedTuple):
    """What a container says about its run.

    `slots`, `sources` (file, first call, end) and `lengths` are those of stacked results, None
    where there are none; a stacked container without `sources` holds the rows itself.
    """

    path: Path
    layout: str
    run: RunInfo
    table: CallTable
    finished: float
    slots: Slots | None = None
    sources: list[tuple[str, range]] | None = None
    lengths: Array | None = None


class Source(Protocol):
    """Gives the calls of one run."""

    run: RunInfo
    table: CallTable
    path: Path

    def present(self) -> Array:
        """Status of every call as the files say now: lost files count as missing."""

    def load(self, call: int) -> StoredCall:
        """Read one call that is done."""

    def load_record(self, call: int) -> dict[str, Any]:
        """Read the record of one call that is done or pickled."""

    def unpickle(self, call: int) -> Any:
        """Load the pickle of one call."""

    def close(self) -> None:
        """Close files."""


def read_container(path: Path) -> tuple[Container, Seal]:
    """Check a container and read what it says about its run.

    Raises
    ------
    UnknownFileError
        It is no container of acme-io.
    DamagedFileError
        It has changed since it was written.
    """
    with SealedFile(path) as sealed:
        return _read_container(path, sealed), sealed.seal


def _read_container(path: Path, sealed: SealedFile) -> Container:
    seal, root = sealed.seal, sealed.root
    if seal.kind not in ("container", "record"):
        raise UnknownFileError(
            f"{path} is a {seal.kind} of acme-io, not a container. Open its folder instead."
        )
    try:
        run = run_from_json(read_text(root, "run"))
        table = CallTable(run.n_calls)
        for name, _ in CallTable.COLUMNS:
            setattr(table, name, read_column(root, name))
        table.workers = list(call_from_json(f'{{"w":{read_text(root, "workers")}}}')["w"])
        table.failures = failures_from_json(read_text(root, "failures"))
        finished = float(read_text(root, "finished"))
        about = Container(path, read_text(root, "layout"), run, table, finished)
        return _read_stacking(root, about) if about.layout == "stacked" else about
    except (KeyError, ValueError, TypeError) as error:
        raise DamagedFileError(f"{path} lacks a part of its record: {error}") from error


def _read_stacking(root: Any, about: Container) -> Container:
    shape = tuple(np.inf if n == "inf" else n for n in json.loads(read_text(root, "result_shape")))
    slots = Slots(shape, np.dtype(read_text(root, "result_dtype")))
    sources = None
    if h5a.exists(root, b"sources"):
        listed = json.loads(read_text(root, "sources"))
        sources = [(str(file), range(first, end)) for file, first, end in listed]
    lengths = read_column(root, "lengths") if h5a.exists(root, b"lengths") else None
    return about._replace(slots=slots, sources=sources, lengths=lengths)


class _FileSource:
    """Calls that each have a file of their own in one folder."""

    def __init__(self, container: Container, folder: Path, name: str) -> None:
        self.container, self.folder, self.name = container, folder, name
        self.run, self.table, self.path = container.run, container.table, container.path

    def close(self) -> None:
        """Nothing stays open."""

    def file(self, call: int) -> Path:
        """Path of a call's file."""
        if self.table.status[call] == PICKLED:
            return self.folder / layout.pickle_name(self.name, call)
        return self.folder / layout.payload_name(self.name, range(call, call + 1))

    def present(self) -> Array:
        """Status of every call; lost files count as missing."""
        try:
            found = set(os.listdir(self.folder))
        except OSError:
            found = set()
        status = self.table.status.copy()
        for call in np.flatnonzero((status == DONE) | (status == PICKLED)):
            if self.file(int(call)).name not in found:
                status[call] = MISSING
        return status

    def load_record(self, call: int) -> dict[str, Any]:
        """Read the record of one call that is done or pickled."""
        if self.table.status[call] == PICKLED:
            return self._pickle_record(call)
        return self.load(call).record

    def load(self, call: int) -> StoredCall:
        """Read one call that is done."""
        path = self.file(call)
        try:
            sealed = SealedFile(path)
        except FileNotFoundError:
            raise _lost(path, call) from None
        try:
            self._belongs(sealed.seal, path, call)
            record = call_from_json(read_text(sealed.root, "calls"))
            return StoredCall(record, _read_values(sealed.fid, "", record, 0))
        except MissingCallError:
            raise
        except (KeyError, ValueError, RuntimeError, OSError) as error:
            raise DamagedFileError(
                f"{path}, the result of call {call}, is damaged: {error}"
            ) from error
        finally:
            sealed.close()

    def unpickle(self, call: int) -> Any:
        """Load the pickle of one call."""
        self._pickle_record(call)
        return read_pickle(self.file(call))

    def _pickle_record(self, call: int) -> dict[str, Any]:
        path = self.file(call)
        try:
            seal, record, _ = read_pickle_record(path)
        except FileNotFoundError:
            raise _lost(path, call) from None
        self._belongs(seal, path, call)
        return call_from_json(record)

    def _belongs(self, seal: Seal, path: Path, call: int) -> None:
        if seal.run != self.run.run_id or call not in seal.calls:
            raise MissingCallError(
                f"{path} belongs to run {seal.run}, calls {seal.calls[0]} to {seal.calls[-1]}, not "
                f"to call {call} of run {self.run.run_id} in {self.path}. Copy the right file back."
            )


class LinkedSource(_FileSource):
    """One HDF5 file per call, some of them pickles."""


class PickleSource(_FileSource):
    """One pickle per call."""

    def file(self, call: int) -> Path:
        """Path of a call's file."""
        return self.folder / layout.pickle_name(self.name, call)

    def load(self, call: int) -> StoredCall:
        """Refuse: pickles have no arrays."""
        raise AssertionError("pickles have no arrays")

    def load_record(self, call: int) -> dict[str, Any]:
        """Read the record of one call."""
        return self._pickle_record(call)


def _read_values(
    fid: h5f.FileID, group: str, record: dict[str, Any], first: int
) -> list[Array | None]:
    """Read the values of a call from dataset `result_<first>` on."""
    names = [group + layout.result_name(i) for i in range(first, len(record["values"]))]
    return [read_array(h5d.open(fid, name.encode())) for name in names]


class _ContainerRecords:
    """The records of calls in a container that holds its data itself."""

    def __init__(self, fid: h5f.FileID) -> None:
        root = h5g.open(fid, b"/")
        self._text = read_text(root, "calls")
        self._ends = read_column(root, "calls_end")

    def __getitem__(self, call: int) -> dict[str, Any]:
        start = int(self._ends[call - 1]) if call else 0
        line = self._text[start : int(self._ends[call])].strip()
        return call_from_json(line) if line else {"call": call}


class SingleSource(_FileSource):
    """All calls in the container itself, each in a group of its own."""

    def __init__(self, container: Container, name: str) -> None:
        super().__init__(container, container.path.parent, name)
        self._sealed: SealedFile | None = None
        self._records: _ContainerRecords | None = None

    def _open(self) -> tuple[h5f.FileID, _ContainerRecords]:
        if self._sealed is None:
            self._sealed = SealedFile(self.path)
        if self._records is None:
            try:
                self._records = _ContainerRecords(self._sealed.fid)
            except (KeyError, ValueError) as error:
                raise DamagedFileError(f"{self.path} lacks the records: {error}") from error
        return self._sealed.fid, self._records

    def present(self) -> Array:
        """Status of every call; lost pickles count as missing."""
        return _without_lost_pickles(self)

    def load(self, call: int) -> StoredCall:
        """Read one call that is done."""
        fid, records = self._open()
        record = records[call]
        try:
            return StoredCall(record, _read_values(fid, f"{layout.call_group(call)}/", record, 0))
        except (KeyError, ValueError, RuntimeError, OSError) as error:
            raise DamagedFileError(f"Call {call} in {self.path} is damaged: {error}") from error

    def load_record(self, call: int) -> dict[str, Any]:
        """Read the record of one call."""
        if self.table.status[call] == PICKLED:
            return self._pickle_record(call)
        return self._open()[1][call]

    def close(self) -> None:
        """Close the container."""
        if self._sealed is not None:
            self._sealed.close()
            self._sealed = None


def _without_lost_pickles(source: _FileSource) -> Array:
    status = source.table.status.copy()
    for call in np.flatnonzero(status == PICKLED):
        if not source.file(int(call)).exists():
            status[call] = MISSING
    return status


class StackedSource(_FileSource):
    """Rows of a stacked dataset, in batch files or in the container itself."""

    def __init__(self, container: Container, name: str) -> None:
        folder = container.path.parent
        if container.sources is not None:
            folder = folder / layout.payload_folder(name)
        super().__init__(container, folder, name)
        if container.slots is None:
            raise DamagedFileError(f"{container.path} does not say how its results are stacked.")
        self.slots = container.slots
        everything = [(self.path.name, range(self.run.n_calls))]
        self.sources = everything if container.sources is None else container.sources
        self._starts = [calls.start for _, calls in self.sources]
        self._open: tuple[str, StackedFile] | None = None
        self._records: dict[str, list[str] | _ContainerRecords] = {}

    def present(self) -> Array:
        """Status of every call; rows of lost files count as missing."""
        status = _without_lost_pickles(self)
        for file, calls in self.sources:
            if not layout.local(self.path.parent, file).exists():
                rows = status[calls.start : calls.stop]
                rows[rows == DONE] = MISSING
        return status

    def opened(self, file: str) -> StackedFile:
        """Open a source file, after checking that it is whole and of this run."""
        if self._open is not None and self._open[0] == file:
            return self._open[1]
        path = layout.local(self.path.parent, file)
        try:
            opened = StackedFile(path, self.slots)
        except FileNotFoundError:
            raise MissingCallError(
                f"{path} is gone, and with it rows of the results. Was the container moved without "
                "its folder?"
            ) from None
        if opened.seal.run != self.run.run_id:
            opened.close()
            raise MissingCallError(
                f"{path} belongs to run {opened.seal.run}, not to run {self.run.run_id} in "
                f"{self.path}. Copy the right file back."
            )
        self.close()
        self._open = (file, opened)
        return opened

    def _source_of(self, call: int) -> StackedFile:
        at = bisect.bisect_right(self._starts, call) - 1
        if at < 0 or call not in self.sources[at][1]:
            raise MissingCallError(f"No file of {self.path} has the result of call {call}.")
        return self.opened(self.sources[at][0])

    def load_record(self, call: int) -> dict[str, Any]:
        """Read the record of one call."""
        if self.table.status[call] == PICKLED:
            return self._pickle_record(call)
        source = self._source_of(call)
        key = source.path.name
        if key not in self._records:
            if len(self._records) > 8:
                self._records.clear()
            own = source.path == self.path
            self._records[key] = _ContainerRecords(source.fid) if own else records_of(source)
        records = self._records[key]
        if isinstance(records, _ContainerRecords):
            return records[call]
        return call_from_json(records[call - source.calls.start])

    def load(self, call: int) -> StoredCall:
        """Read one call that is done: its row, then its further values."""
        record = self.load_record(call)
        source = self._source_of(call)
        row = as_given(source.row(call, record.get("length")), self.slots)
        try:
            others = _read_values(source.fid, f"{layout.call_group(call)}/", record, 1)
        except (KeyError, ValueError, RuntimeError, OSError) as error:
            raise DamagedFileError(f"Call {call} in {source.path} is damaged: {error}") from error
        return StoredCall(record, [row, *others])

    def rows(self, calls: range) -> tuple[Array, dict[int, Exception]]:
        """Read the rows of consecutive calls, file by file.

        Returns
        -------
        rows : numpy.ndarray
            As in the stacked dataset; rows that cannot be read hold the fill value.
        absent : dict of int to Exception
            The calls whose files are gone or damaged, with the reason.
        """
        longest = (
            0 if self.container.lengths is None else int(max(self.container.lengths, default=0))
        )
        stacked = blank_rows(self.slots, len(calls), longest)
        absent: dict[int, Exception] = {}
        for file, held in self.sources:
            part = range(max(held.start, calls.start), min(held.stop, calls.stop))
            if not part:
                continue
            try:
                rows = self.opened(file).rows(part)
            except (OSError, MissingCallError) as error:
                absent |= dict.fromkeys(part, error)
                continue
            where = [slice(0, n) for n in rows.shape]
            where[self.slots.stacking_axis] = slice(
                part.start - calls.start, part.stop - calls.start
            )
            stacked[tuple(where)] = rows
        return as_given(stacked, self.slots), absent

    def close(self) -> None:
        """Close the source file that is open."""
        if self._open is not None:
            self._open[1].close()
            self._open = None


def _lost(path: Path, call: int) -> MissingCallError:
    return MissingCallError(
        f"The file of call {call} is gone: {path}. Was the container moved without its folder?"
    )
