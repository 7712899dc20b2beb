"""Read the part files of an unfinished single-file run."""

from pathlib import Path
from typing import Any

import numpy as np

from acme_io import layout
from acme_io.errors import AcmeIOError
from acme_io.files.checksum import fits
from acme_io.files.header import read_header
from acme_io.hdf5.checked_file import CheckedFile
from acme_io.hdf5.members import names_of
from acme_io.hdf5.objects import Field, read_column
from acme_io.records.call_record import DONE, PICKLED
from acme_io.records.serialization import call_from_json
from acme_io.storage.container_facts import ContainerFacts, ContainerRecords
from acme_io.storage.single_file.part_file import PartFile
from acme_io.storage.source import (
    Problem,
    Source,
    StoredCall,
    data_changed,
    part_missing,
    read_values,
)

Array = np.ndarray[Any, Any]


class ContainerPart:
    """A finished single file read like a part, to resume its run or to copy it.

    Parameters
    ----------
    path : pathlib.Path
        The container.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._container = CheckedFile(path)
        self._records = ContainerRecords(self._container)
        self._status = read_column(self._container.root, "status")

    def __contains__(self, call: int) -> bool:
        """Whether the container has the result of a call."""
        return bool(self._status[call] == DONE) and bool(self.record(call))

    def record(self, call: int) -> str:
        """Return the record of a call."""
        return self._records.line(call)

    def datasets(self, call: int) -> list[tuple[Field, Array | None]]:
        """Read the datasets of a call."""
        record = call_from_json(self.record(call))
        return read_values(self._container, f"{layout.call_group(call)}/", record, 0)

    def close(self) -> None:
        """Close the file."""
        self._container.close()


class PartSource(Source):
    """Results in part files; one at a time is open.

    Parameters
    ----------
    facts : ContainerFacts
        The run.
    name : str
        The cleaned function name.
    files : list of (str or None)
        File of each call, as in `CallIndex.files`.
    """

    def __init__(self, facts: ContainerFacts, name: str, files: list[str | None]) -> None:
        super().__init__(facts, facts.path.parent, name)
        self._files = files
        self._part: tuple[str, PartFile | ContainerPart] | None = None

    def present(self) -> Array:
        """Return the status of every call."""
        # The files were listed a moment ago, when the folder was scanned.
        return self.table.status

    def _part_of(self, call: int) -> "PartFile | ContainerPart":
        file = str(self._files[call])
        if self._part is None or self._part[0] != file:
            path = layout.local(self.folder, file)
            self.close()
            try:
                # In a resumed run, earlier results are in the container of the first attempt.
                part = ContainerPart(path) if path == self.path else PartFile(path)
            except FileNotFoundError:
                raise part_missing(path, self.path) from None
            self._part = (file, part)
        return self._part[1]

    def load_record(self, call: int) -> dict[str, Any]:
        """Read the record of one call."""
        if self.table.status[call] == PICKLED:
            return self.pickle_record(call)
        return call_from_json(self._part_of(call).record(call))

    def load(self, call: int) -> StoredCall:
        """Read one call with status `DONE`."""
        found = StoredCall.of(self.load_record(call), self._part_of(call).datasets(call))
        if not fits(found.record["checksum"], found.arrays, names_of(found.fields)):
            raise data_changed(call, layout.local(self.folder, str(self._files[call])))
        return found

    def _problems_with_results(self) -> list[Problem]:
        """Check every byte of the part files."""
        problems = []
        done = np.flatnonzero(self.table.status == DONE).tolist()
        for file in dict.fromkeys(str(self._files[call]) for call in done):
            try:
                read_header(layout.local(self.folder, file), check="all")
            except (AcmeIOError, OSError) as error:
                calls = [call for call in done if self._files[call] == file]
                problems.append(Problem(calls, str(error)))
        return problems

    def close(self) -> None:
        """Close the open part file, if any."""
        if self._part is not None:
            self._part[1].close()
            self._part = None
