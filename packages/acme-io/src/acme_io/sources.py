"""Where the calls of a run lie: one source per way of storing them.

A source answers three questions about a call: what became of it, which arrays it has, and what is
on record about it. `acme_io.reader` makes Python values of the answers.
"""

import bisect
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from h5py import h5a, h5d, h5f, h5g, h5t

from . import layout
from .errors import DamagedFileError, MissingCallError, UnknownFileError
from .hdf5 import Field, read_array, read_column, read_text
from .opening import SealedFile
from .options import StorageOptions
from .parts import PartFile
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
    storage_from_json,
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
    """One call as it is stored: its record, and its datasets with their contents."""

    record: dict[str, Any]
    fields: list[Field]
    arrays: list[Array | None]

    @classmethod
    def of(
        cls, record: dict[str, Any], datasets: "list[tuple[Field, Array | None]]"
    ) -> "StoredCall":
        """Make one of datasets as `read_field` gives them."""
        return cls(record, [field for field, _ in datasets], [array for _, array in datasets])


class Container(NamedTuple):
    """What a container says about its run.

    `slots`, `sources` (file, first call, end) and `lengths` are those of stacked results, None
    where there are none; a stacked container without `sources` holds the rows itself. `in_parts`
    is true for part files of a single file that was never finished.
    """

    path: Path
    layout: str
    run: RunInfo
    table: CallTable
    finished: float
    slots: Slots | None = None
    sources: list[tuple[str, range]] | None = None
    lengths: Array | None = None
    in_parts: bool = False
    run_json: str = "{}"


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
        run_json = read_text(root, "run")
        run = run_from_json(run_json)
        table = CallTable(run.n_calls)
        for name, _ in CallTable.COLUMNS:
            setattr(table, name, read_column(root, name))
        table.workers = list(call_from_json(f'{{"w":{read_text(root, "workers")}}}')["w"])
        table.failures = failures_from_json(read_text(root, "failures"))
        finished = float(read_text(root, "finished"))
        about = Container(path, read_text(root, "layout"), run, table, finished, run_json=run_json)
        return _read_stacking(root, about) if about.layout == "stacked" else about
    except (KeyError, ValueError, TypeError) as error:
        raise DamagedFileError(f"{path} lacks a part of its record: {error}") from error


def _read_stacking(root: Any, about: Container) -> Container:
    slots = StorageOptions.from_description(storage_from_json(read_text(root, "run"))).slots
    sources = None
    if h5a.exists(root, b"sources"):
        listed = json.loads(read_text(root, "sources"))
        sources = [(str(file), range(first, end)) for file, first, end in listed]
    lengths = read_column(root, "lengths") if h5a.exists(root, b"lengths") else None
    return about._replace(slots=slots, sources=sources, lengths=lengths)


class Source:
    """Gives the calls of one run. This one: calls that each have a file of their own in one folder.

    Parameters
    ----------
    container : Container
        What is known of the run.
    folder : pathlib.Path
        Where the files of the calls lie.
    name : str
        The cleaned function name.
    """

    def __init__(self, container: Container, folder: Path, name: str) -> None:
        self.container, self.folder, self.name = container, folder, name
        self.run, self.run_json = container.run, container.run_json
        self.table, self.path = container.table, container.path
        self.check = "structure"  # how much of a file is checked when it is opened

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
            sealed = SealedFile(path, self.check)
        except FileNotFoundError:
            raise _lost(path, call) from None
        try:
            self.belongs(sealed.seal, path, call)
            record = call_from_json(read_text(sealed.root, "calls"))
            return StoredCall.of(record, _read_values(sealed.fid, "", record, 0))
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
        self.belongs(seal, path, call)
        return call_from_json(record)

    def belongs(self, seal: Seal, path: Path, call: int) -> None:
        """Raise unless a file is of this run and holds the call."""
        if seal.run != self.run.run_id or call not in seal.calls:
            raise MissingCallError(
                f"{path} belongs to run {seal.run}, calls {seal.calls[0]} to {seal.calls[-1]}, not "
                f"to call {call} of run {self.run.run_id} in {self.path}. Copy the right file back."
            )


class LinkedSource(Source):
    """One HDF5 file per call, some of them pickles."""


class PickleSource(Source):
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
) -> list[tuple[Field, Array | None]]:
    """Read the values of a call from dataset `result_<first>` on."""
    names = [layout.result_name(i) for i in range(first, len(record["values"]))]
    return [read_field(h5d.open(fid, f"{group}{name}".encode()), name) for name in names]


class _ContainerRecords:
    """The records of calls in a container that holds its data itself."""

    def __init__(self, fid: h5f.FileID) -> None:
        root = h5g.open(fid, b"/")
        self._text = read_text(root, "calls")
        self._ends = read_column(root, "calls_end")

    def line(self, call: int) -> str:
        start = int(self._ends[call - 1]) if call else 0
        return self._text[start : int(self._ends[call])].strip()

    def __getitem__(self, call: int) -> dict[str, Any]:
        line = self.line(call)
        return call_from_json(line) if line else {"call": call}


class SingleSource(Source):
    """All calls in the container itself, each in a group of its own."""

    def __init__(self, container: Container, name: str) -> None:
        super().__init__(container, container.path.parent, name)
        self._sealed: SealedFile | None = None
        self._records: _ContainerRecords | None = None

    def _open(self) -> tuple[h5f.FileID, _ContainerRecords]:
        if self._sealed is None:
            self._sealed = SealedFile(self.path, self.check)
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
            return StoredCall.of(
                record, _read_values(fid, f"{layout.call_group(call)}/", record, 0)
            )
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


def _without_lost_pickles(source: Source) -> Array:
    status = source.table.status.copy()
    for call in np.flatnonzero(status == PICKLED):
        if not source.file(int(call)).exists():
            status[call] = MISSING
    return status


class ContainerPart:
    """A finished single file, read as if it were a part: to go on with its run, or to copy it.

    Parameters
    ----------
    path : pathlib.Path
        The container.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._sealed = SealedFile(path)
        self.records = {}
        records = _ContainerRecords(self._sealed.fid)
        for call in self._sealed.seal.calls:
            if line := records.line(call):
                self.records[call] = line

    def __contains__(self, call: int) -> bool:
        """Whether a call has a result here."""
        return call in self.records

    def datasets(self, call: int) -> list[tuple[Field, Array | None]]:
        """Read the datasets of a call."""
        group = h5g.open(self._sealed.fid, layout.call_group(call).encode())
        found: list[tuple[Field, Array | None]] = []
        for index in range(group.get_num_objs()):
            name = layout.result_name(index)
            found.append(read_field(h5d.open(group, name.encode()), name))
        return found

    def fields(self, call: int) -> list[Field]:
        """Datasets of a call."""
        return [field for field, _ in self.datasets(call)]

    def arrays(self, call: int) -> list[Array | None]:
        """Arrays of a call."""
        return [array for _, array in self.datasets(call)]

    def close(self) -> None:
        """Close the file."""
        self._sealed.close()


def read_field(dataset: h5d.DatasetID, name: str) -> tuple[Field, Array | None]:
    """Read a dataset and what is needed to write one like it."""
    array = read_array(dataset)
    if array is None:
        return Field(name, np.dtype("u1"), None), None
    kind = dataset.get_type()
    text = isinstance(kind, h5t.TypeStringID) and kind.get_cset() == h5t.CSET_UTF8
    return Field(name, array.dtype, array.shape, text), array


class PartSource(Source):
    """Part files of a run that did not come to its end."""

    def __init__(self, container: Container, name: str, files: list[str | None]) -> None:
        super().__init__(container, container.path.parent, name)
        self._files = files
        self._part: tuple[str, PartFile] | None = None

    def present(self) -> Array:
        """Status of every call, as the parts were found."""
        return self.table.status

    def _part_of(self, call: int) -> PartFile:
        file = str(self._files[call])
        if self._part is None or self._part[0] != file:
            self._part = (file, PartFile(layout.local(self.folder, file)))
        return self._part[1]

    def load_record(self, call: int) -> dict[str, Any]:
        """Read the record of one call."""
        if self.table.status[call] == PICKLED:
            return self._pickle_record(call)
        return call_from_json(self._part_of(call).records[call])

    def load(self, call: int) -> StoredCall:
        """Read one call that is done."""
        part = self._part_of(call)
        arrays = [None if array is None else array.copy() for array in part.arrays(call)]
        return StoredCall(self.load_record(call), part.fields(call), arrays)

    def close(self) -> None:
        """Let go of the part that is open."""
        if self._part is not None:
            self._part[1].close()
            self._part = None


class StackedSource(Source):
    """Rows of a stacked dataset, in batch files or in the container itself."""

    def __init__(self, container: Container, name: str) -> None:
        folder = container.path.parent
        if container.sources is not None and not container.in_parts:
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
            if not self.place(file).exists():
                rows = status[calls.start : calls.stop]
                rows[rows == DONE] = MISSING
        return status

    def place(self, file: str) -> Path:
        """Path of a source file."""
        return layout.local(self.path.parent, file)

    def opened(self, file: str) -> StackedFile:
        """Open a source file, after checking that it is whole and of this run."""
        if self._open is not None and self._open[0] == file:
            return self._open[1]
        path = self.place(file)
        try:
            opened = StackedFile(path, self.slots, self.check)
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
        field = Field(layout.result_name(0), row.dtype, row.shape)
        return StoredCall.of(record, [(field, row), *others])

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


def scanned_source(output_dir: Path, name: str) -> Source:
    """Make a source of payloads that have no container.

    Raises
    ------
    UnknownFileError
        There is no usable payload.
    """
    from .scan import scan

    found = scan(output_dir, name)
    path = output_dir / layout.container_name(name)
    options, ledger = found.options, found.ledger
    about = Container(
        path, "", found.run, found.table, float("nan"), options.slots, run_json=found.run_json
    )
    if options.pickle:
        return PickleSource(about, output_dir, name)
    if options.slots is not None:
        stretches = ledger.stretches(range(found.run.n_calls))
        listed = [(file, calls) for file, calls in stretches if file is not None]
        lengths = np.array(ledger.lengths) if options.slots.varying_axis is not None else None
        about = about._replace(sources=listed, lengths=lengths, in_parts=options.single_file)
        return StackedSource(about, name)
    if options.single_file:
        return PartSource(about, name, ledger.files)
    return LinkedSource(about, output_dir / layout.payload_folder(name), name)
