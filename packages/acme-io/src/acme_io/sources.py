"""Where the calls of a run lie: one source per way of storing them.

A source answers three questions about a call: what became of it, which arrays it has, and what is on
record about it. `acme_io.reader` makes Python values of the answers.
"""

import os
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from h5py import h5d, h5f, h5g

from . import layout
from .errors import DamagedFileError, MissingCallError, UnknownFileError
from .hdf5 import open_reading, read_array, read_column, read_text
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
from .seal import Seal, read_seal

__all__ = ["LinkedSource", "PickleSource", "Source", "StoredCall", "read_container"]

Array = np.ndarray[Any, Any]


class StoredCall(NamedTuple):
    """One call as it is stored: its record and the arrays of its values."""

    record: dict[str, Any]
    arrays: list[Array | None]


class Container(NamedTuple):
    """What a container says about its run."""

    path: Path
    layout: str
    run: RunInfo
    table: CallTable
    finished: float


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


def open_hdf5(path: Path) -> h5f.FileID:
    """Open a file whose seal was checked, with an error of ours if HDF5 does not want it."""
    try:
        return open_reading(path)
    except OSError as error:
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist.") from None
        raise DamagedFileError(f"{path} cannot be opened by HDF5: {error}") from error


def read_container(path: Path) -> tuple[Container, Seal]:
    """Check a container and read what it says about its run.

    Raises
    ------
    UnknownFileError
        It is no container of acme-io.
    DamagedFileError
        It has changed since it was written.
    """
    seal = read_seal(path)
    if seal.kind not in ("container", "record"):
        raise UnknownFileError(
            f"{path} is a {seal.kind} of acme-io, not a container. Open its folder instead."
        )
    fid = open_hdf5(path)
    try:
        root = h5g.open(fid, b"/")
        run = run_from_json(read_text(root, "run"))
        table = CallTable(run.n_calls)
        for name, _ in CallTable.COLUMNS:
            setattr(table, name, read_column(root, name))
        table.workers = list(call_from_json(f'{{"w":{read_text(root, "workers")}}}')["w"])
        table.failures = failures_from_json(read_text(root, "failures"))
        finished = float(read_text(root, "finished"))
        return Container(path, read_text(root, "layout"), run, table, finished), seal
    except (KeyError, ValueError, TypeError) as error:
        raise DamagedFileError(f"{path} lacks a part of its record: {error}") from error
    finally:
        fid.close()


class _FileSource:
    """Calls that each have a file of their own in one folder."""

    def __init__(self, container: Container, folder: Path, name: str) -> None:
        self.container, self.folder, self.name = container, folder, name
        self.run, self.table, self.path = container.run, container.table, container.path

    def file(self, call: int) -> Path:
        """Path of a call's file."""
        if self.table.status[call] == PICKLED:
            return self.folder / layout.pickle_name(self.name, call)
        return self.folder / layout.payload_name(self.name, range(call, call + 1))

    def present(self) -> Array:
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
        if self.table.status[call] == PICKLED:
            return self._pickle_record(call)
        return self.load(call).record

    def load(self, call: int) -> StoredCall:
        path = self.file(call)
        try:
            seal = read_seal(path)
        except FileNotFoundError:
            raise _lost(path, call) from None
        self._belongs(seal, path, call)
        fid = open_hdf5(path)
        try:
            record = call_from_json(read_text(h5g.open(fid, b"/"), "calls"))
            names = [layout.result_name(i).encode() for i in range(len(record["values"]))]
            return StoredCall(record, [read_array(h5d.open(fid, name)) for name in names])
        except (KeyError, ValueError, RuntimeError, OSError) as error:
            raise DamagedFileError(
                f"{path}, the result of call {call}, is damaged: {error}"
            ) from error
        finally:
            fid.close()

    def unpickle(self, call: int) -> Any:
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
                f"{path} belongs to run {seal.run}, calls {seal.calls[0]} to {seal.calls[-1]}, not to "
                f"call {call} of run {self.run.run_id} in {self.path}. Copy the right file back."
            )


class LinkedSource(_FileSource):
    """One HDF5 file per call, some of them pickles."""


class PickleSource(_FileSource):
    """One pickle per call."""

    def file(self, call: int) -> Path:
        return self.folder / layout.pickle_name(self.name, call)

    def load(self, call: int) -> StoredCall:
        raise AssertionError("pickles have no arrays")

    def load_record(self, call: int) -> dict[str, Any]:
        return self._pickle_record(call)


def _lost(path: Path, call: int) -> MissingCallError:
    return MissingCallError(
        f"The file of call {call} is gone: {path}. Was the container moved without its folder?"
    )
