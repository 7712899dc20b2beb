"""Where the calls of a run lie: one source per way of storing them.

A source answers three questions about a call: what became of it, which arrays it has, and what is
on record about it. `acme_io.reader` makes Python values of the answers.
"""

import functools
import io
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from h5py import h5a, h5d, h5f, h5t

from . import layout
from .errors import DamagedFileError, MissingCallError, UnknownFileError
from .hdf5 import Field, read_array, read_column, read_text
from .learning import Learned, learn
from .opening import SealedFile, small_content
from .options import StorageOptions
from .pickling import read_pickle, read_pickle_record
from .record import (
    DONE,
    MISSING,
    PICKLED,
    CallTable,
    RunInfo,
    call_from_json,
    run_from_json,
    storage_from_json,
)
from .seal import Seal, check_open_file
from .slots import Slots
from .stored_table import StoredTable

__all__ = ["Container", "LinkedSource", "PickleSource", "Source", "StoredCall", "read_container"]

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

    `run_json` is the run's identity, None where it is still to be read from the table. `slots`,
    `sources` (file, first call, end) and `lengths` are those of stacked results, None where there
    are none; a stacked container without `sources` holds the rows itself. `in_parts` is true for
    part files of a single file that was never finished.
    """

    path: Path
    layout: str
    run_id: str
    table: CallTable
    slots: Slots | None = None
    sources: list[tuple[str, range]] | None = None
    lengths: Array | None = None
    in_parts: bool = False
    run_json: str | None = None


def read_container(sealed: SealedFile) -> Container:
    """Read what a container says about its run, as far as its results need it.

    Raises
    ------
    UnknownFileError
        It is no container of acme-io.
    DamagedFileError
        A part of its record is not there.
    """
    path, seal, root = sealed.path, sealed.seal, sealed.root
    if seal.kind not in ("container", "record"):
        raise UnknownFileError(
            f"{path} is a {seal.kind} of acme-io, not a container. Open its folder instead."
        )
    try:
        table = StoredTable(sealed)
        if len(table) != len(seal.calls):
            raise ValueError(f"its status is that of {len(table)} calls, not of {len(seal.calls)}")
        about = Container(path, read_text(root, "layout"), seal.run, table)
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
        self.run_id, self.table, self.path = container.run_id, container.table, container.path
        self.check = "structure"  # how much of a file is checked when it is opened
        self._learned: list[Learned] = []

    @functools.cached_property
    def run_json(self) -> str:
        """The run's identity, as the files carry it."""
        known = self.container.run_json
        return self.table.run_json if known is None else known  # type: ignore[attr-defined]

    @functools.cached_property
    def run(self) -> RunInfo:
        """The run's identity."""
        try:
            return run_from_json(self.run_json)
        except (ValueError, TypeError) as error:
            raise DamagedFileError(f"{self.path} lacks a part of its record: {error}") from error

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
            known = self._load_learned(path, call)
            return self._load(path, call) if known is None else known
        except FileNotFoundError:
            raise _lost(path, call) from None

    def _load(self, path: Path, call: int) -> StoredCall:
        """Read a payload through the HDF5 library."""
        with SealedFile(path, self.check) as sealed:
            self.belongs(sealed.seal, path, call)
            try:
                text = read_text(sealed.root, "calls")
                record = call_from_json(text)
                found = StoredCall.of(record, read_values(sealed.fid, "", record, 0))
            except (KeyError, ValueError, RuntimeError, OSError) as error:
                raise DamagedFileError(
                    f"{path}, the result of call {call}, is damaged: {error}"
                ) from error
            if sealed.content is not None:
                self._learn(sealed, sealed.content, text, found)
        return found

    def _learn(self, sealed: SealedFile, content: bytes, text: str, found: StoredCall) -> None:
        offsets = []
        for field in found.fields:
            offset = h5d.open(sealed.fid, field.path.encode()).get_offset() if field.nbytes else -1
            offsets.append(-1 if offset is None else offset)
        learned = learn(content, sealed.seal.block, text, found.fields, offsets)
        if learned is not None:
            self._learned = [learned, *self._learned[:3]]

    def _load_learned(self, path: Path, call: int) -> StoredCall | None:
        """Read a payload of a structure that was read before; None if it is of another one."""
        if not self._learned:
            return None
        content = small_content(path)
        if content is None:
            return None
        for learned in self._learned:
            found = learned.read(content)
            if found is not None:
                seal = check_open_file(io.BytesIO(content), path, self.check)
                self.belongs(seal, path, call)
                fields = [field for field, _ in learned.data]
                return StoredCall(call_from_json(found[0]), fields, found[1])
        return None

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
        if seal.run != self.run_id or call not in seal.calls:
            raise MissingCallError(
                f"{path} belongs to run {seal.run}, calls {seal.calls[0]} to {seal.calls[-1]}, not "
                f"to call {call} of run {self.run_id} in {self.path}. Copy the right file back."
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


def read_values(
    fid: h5f.FileID, group: str, record: dict[str, Any], first: int
) -> list[tuple[Field, Array | None]]:
    """Read the values of a call from dataset `result_<first>` on."""
    names = [layout.result_name(i) for i in range(first, len(record["values"]))]
    return [read_field(h5d.open(fid, f"{group}{name}".encode()), name) for name in names]


def read_field(dataset: h5d.DatasetID, name: str) -> tuple[Field, Array | None]:
    """Read a dataset and what is needed to write one like it."""
    array = read_array(dataset)
    if array is None:
        return Field(name, np.dtype("u1"), None), None
    kind = dataset.get_type()
    text = isinstance(kind, h5t.TypeStringID) and kind.get_cset() == h5t.CSET_UTF8
    return Field(name, array.dtype, array.shape, text), array


def without_lost_pickles(source: Source) -> Array:
    status = source.table.status.copy()
    for call in np.flatnonzero(status == PICKLED):
        if not source.file(int(call)).exists():
            status[call] = MISSING
    return status


def _lost(path: Path, call: int) -> MissingCallError:
    return MissingCallError(
        f"The file of call {call} is gone: {path}. Was the container moved without its folder?"
    )
