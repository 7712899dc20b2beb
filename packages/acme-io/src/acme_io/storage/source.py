"""Read the calls of a run: the base of the sources, one per way of storing.

A source returns the status, the arrays and the record of each call; `acme_io.results.results` turns
them into Python values.
"""

import functools
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from acme_io import layout
from acme_io.errors import AcmeIOError, DamagedFileError, MissingCallError
from acme_io.files.header import FileHeader, read_header
from acme_io.files.pickle_file import read_pickle, read_pickle_record
from acme_io.hdf5.checked_file import CheckedFile
from acme_io.hdf5.members import read_group, read_leaf
from acme_io.hdf5.objects import Field, open_dataset, open_group
from acme_io.records.call_record import DONE, MISSING, PICKLED
from acme_io.records.call_table import CallTable
from acme_io.records.run_record import RunInfo
from acme_io.records.serialization import call_from_json, run_from_json
from acme_io.storage.container_facts import ContainerFacts

Array = np.ndarray[Any, Any]


class StoredCall(NamedTuple):
    """One call as stored: its record, and its datasets with their contents."""

    record: dict[str, Any]
    fields: list[Field]
    arrays: list[Array | None]

    @classmethod
    def of(
        cls, record: dict[str, Any], datasets: "list[tuple[Field, Array | None]]"
    ) -> "StoredCall":
        """Make a stored call from datasets in the form that `read_field` returns."""
        return cls(record, [field for field, _ in datasets], [array for _, array in datasets])


class Problem(NamedTuple):
    """A difference between a file and its checksums.

    Attributes
    ----------
    calls : list of int
        The affected calls; empty if they are unknown, or if only the record is affected.
    reason : str
        The file, and what is wrong with it.
    """

    calls: list[int]
    reason: str


class Source(ABC):
    """The calls of one run, in whichever files they are stored.

    Parameters
    ----------
    facts : ContainerFacts
        The run, as described by its container.
    folder : pathlib.Path
        The folder with the files of single calls.
    name : str
        The cleaned function name.
    """

    only_pickles = False
    """Whether the run used `write_pickle=True`: no result is in an HDF5 file."""

    def __init__(self, facts: ContainerFacts, folder: Path, name: str) -> None:
        self.facts, self.folder, self.name = facts, folder, name
        self.run_id, self.table, self.path = facts.run_id, facts.table, facts.path
        # How much of a file is checked when it is opened: `"all"` reads every byte of it, which
        # single reads from large files should not have to wait for.
        self.check = "structure"

    @functools.cached_property
    def run_json(self) -> str:
        """The run's identity as JSON text, as stored in its files."""
        # Opening a container leaves this text unread; the table reads it on demand.
        known = self.facts.run_json
        return self.table.run_json if known is None else known  # type: ignore[attr-defined]

    @functools.cached_property
    def run(self) -> RunInfo:
        """The run's identity, parsed on first use."""
        try:
            return run_from_json(self.run_json)
        except (ValueError, TypeError) as error:
            raise DamagedFileError(f"{self.path} lacks a part of its record: {error}") from error

    @property
    def stacking_axis(self) -> int:
        """Axis along which the calls lie in what `stack` returns."""
        return 0

    @property
    def lengths(self) -> Array | None:
        """Length of each row along the varying axis, shape (n_calls,); None without one."""
        return self.facts.lengths

    @abstractmethod
    def load(self, call: int) -> StoredCall:
        """Read one call with status `DONE`."""

    def load_scalars(self, call: int) -> StoredCall:
        """Read one call with status `DONE`; arrays of more than one element may be left out.

        Such an array is None, as is that of a value without data. The default leaves out none.
        """
        return self.load(call)

    @abstractmethod
    def load_record(self, call: int) -> dict[str, Any]:
        """Read the record of one call with status `DONE` or `PICKLED`."""

    def arguments(self, calls: Sequence[int]) -> list[dict[str, Any]]:
        """Read the arguments of calls with status `DONE` or `PICKLED`."""
        return [self.load_record(call).get("arguments", {}) for call in calls]

    def alike(self, calls: Sequence[int]) -> bool:
        """Whether these calls, all done, are known to have returned values of the same form."""
        return False

    def present(self) -> Array:
        """Return the status of every call, `MISSING` for results whose files no longer exist."""
        status = self.table.status.copy()
        for call in np.flatnonzero(status == PICKLED):
            if not self.file(int(call)).exists():
                status[call] = MISSING
        return status

    def stack(self, index: int, calls: range, missing: str) -> Array | None:
        """Read one return value of several calls as one array.

        Parameters
        ----------
        index : int
            Position of the value among the return values.
        calls : range
            The calls.
        missing : {"raise", "mask"}
            Whether calls without a result are an error or masked entries.

        Returns
        -------
        numpy.ndarray or None
            None if this source has no such array: the caller reads and stacks call by call.

        Raises
        ------
        MissingCallError
            A call has no result, and `missing` is `"raise"`.
        """
        return None

    def problems(self) -> list[Problem]:
        """Compare the data of every call with the checksums on record.

        Returns
        -------
        list of Problem
            Empty if all data is intact.
        """
        pickled = np.flatnonzero(self.table.status == PICKLED)
        return self._problems_with_results() + [
            problem for call in pickled for problem in self._problems_with_file(int(call))
        ]

    @abstractmethod
    def _problems_with_results(self) -> list[Problem]:
        """Compare the data of calls with status `DONE` with the checksums on record."""

    def _problems_with_file(self, call: int) -> list[Problem]:
        """Check the file of one call."""
        path = self.file(call)
        try:
            if path.suffix == ".pickle":
                header, _, _ = read_pickle_record(path, check=True)
            else:
                header = read_header(path, check="all")
            self.check_belongs(header, path, call)
        except (AcmeIOError, OSError) as error:
            return [Problem([call], str(error))]
        # A file that is intact by its own header may still be one copied from elsewhere.
        if header.checksum != int(self.table.checksum[call]):
            reason = f"{path} is not the file this container was made from."
            return [Problem([call], reason)]
        return []

    def prepare_copy(self) -> None:
        """Check every byte of files opened from now on, to keep damage out of copies.

        Raises
        ------
        DamagedFileError
            A file that is already open has changed since it was written.
        """
        self.check = "all"

    def merge(self, target: Path, table: CallTable) -> bool:
        """Copy all results into one file of this source's own layout.

        Parameters
        ----------
        target : pathlib.Path
            The file to write.
        table : CallTable
            The call table of the copy.

        Returns
        -------
        bool
            False if this source has no layout of its own for copies; nothing is written then.
        """
        return False

    def keep(self, checked: CheckedFile) -> None:
        """Take over the open container, for later reads; the default closes it."""
        checked.close()

    def close(self) -> None:  # noqa: B027 - most sources keep nothing open
        """Close all open files; may be called again."""

    def file(self, call: int) -> Path:
        """Return the path of a call's own file."""
        if self.table.status[call] == PICKLED:
            return self.folder / layout.pickle_name(self.name, call)
        return self.folder / layout.payload_name(self.name, range(call, call + 1))

    def unpickle(self, call: int) -> Any:
        """Load the pickle of one call."""
        self.pickle_record(call)
        return read_pickle(self.file(call))

    def pickle_record(self, call: int) -> dict[str, Any]:
        """Read the record of one call from its pickle."""
        path = self.file(call)
        try:
            header, record, _ = read_pickle_record(path)
        except FileNotFoundError:
            raise payload_missing(path, call) from None
        self.check_belongs(header, path, call)
        return call_from_json(record)

    def check_belongs(self, header: FileHeader, path: Path, call: int) -> None:
        """Raise `MissingCallError` unless a file belongs to this run and holds the call."""
        if header.run != self.run_id or call not in header.calls:
            raise MissingCallError(
                f"{path} belongs to run {header.run}, calls {header.calls[0]} to "
                f"{header.calls[-1]}, not to call {call} of run {self.run_id} in {self.path}. Copy "
                "the right file back."
            )


def own_files_present(source: Source) -> Array:
    """Return the status of calls stored in one file each; see `Source.present`."""
    # One listing of the folder: on a network file system every `stat` is a round trip.
    try:
        found = set(os.listdir(source.folder))
    except OSError:
        found = set()
    status = source.table.status.copy()
    for call in np.flatnonzero((status == DONE) | (status == PICKLED)):
        if source.file(int(call)).name not in found:
            status[call] = MISSING
    return status


def read_values(
    checked: CheckedFile, group: str, record: dict[str, Any], first: int, *, scalars: bool = False
) -> list[tuple[Field, Array | None]]:
    """Read the values of a call, from `result_<first>` on; with `scalars`, its scalars only."""
    found: list[tuple[Field, Array | None]] = []
    for index in range(first, len(record["values"])):
        name, form = layout.result_name(index), record["values"][index]
        if isinstance(form, dict):
            where = open_group(checked.fid, group or "/")
            try:
                found += read_group(checked, where, name, form, scalars=scalars)
            except (TypeError, AttributeError) as error:
                # The checksums of the file are right: somebody has written this on purpose.
                raise ValueError(f"the record does not describe {name}: {error}") from error
        else:
            dataset = open_dataset(checked.fid, f"{group}{name}")
            found.append(read_leaf(checked, dataset, name, form, scalars=scalars))
    return found


def payload_missing(path: Path, call: int) -> MissingCallError:
    """Return the error for a call whose file no longer exists."""
    return MissingCallError(
        f"The file of call {call} is gone: {path}. Was the container moved without its folder?"
    )


def data_changed(call: int, path: Path) -> DamagedFileError:
    """Return the error for a call whose data does not match its checksum."""
    return DamagedFileError(
        f"The result of call {call} in {path} has changed since it was written. Restore the file "
        "from a copy, or run the call again."
    )


def part_missing(path: Path, container: Path) -> MissingCallError:
    """Return the error for a part file that disappeared after the results were opened."""
    return MissingCallError(
        f"{path} is gone: the run has put its parts together since these results were opened. "
        f"Open {container} again."
    )
