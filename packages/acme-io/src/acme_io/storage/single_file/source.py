"""Read results from a single-file container."""

from typing import Any

import numpy as np

from acme_io import layout
from acme_io.errors import AcmeIOError, DamagedFileError
from acme_io.files.checksum import fits
from acme_io.files.header import read_header
from acme_io.hdf5.checked_file import CheckedFile
from acme_io.records.call_record import DONE, PICKLED
from acme_io.storage.container_facts import ContainerFacts, ContainerRecords
from acme_io.storage.source import Problem, Source, StoredCall, read_values

__all__ = ["SingleFileSource"]


class SingleFileSource(Source):
    """Results in the container itself, a group per call; the container stays open."""

    def __init__(self, facts: ContainerFacts, name: str) -> None:
        super().__init__(facts, facts.path.parent, name)
        self._container: CheckedFile | None = None
        self._records: ContainerRecords | None = None

    def keep(self, checked: CheckedFile) -> None:
        """Take over the open container, for later reads."""
        # It holds every result, so opening and checking it again for each read would be waste.
        self._container = checked

    def prepare_copy(self) -> None:
        """Check every byte, including those of the open container."""
        super().prepare_copy()
        # The container was opened with a check of its structure only.
        read_header(self.path, check="all")

    def _opened(self) -> CheckedFile:
        if self._container is None:
            self._container = CheckedFile(self.path, self.check)
        return self._container

    def _open(self) -> tuple[CheckedFile, ContainerRecords]:
        checked = self._opened()
        if self._records is None:
            try:
                self._records = ContainerRecords(checked)
            except (KeyError, ValueError) as error:
                raise DamagedFileError(f"{self.path} lacks the records: {error}") from error
        return checked, self._records

    def load(self, call: int) -> StoredCall:
        """Read one call with status `DONE`."""
        checked, records = self._open()
        record = records[call]
        # No checksum of the call is compared here: `read_values` checks large datasets, and small
        # ones were checked with the structure of the file.
        try:
            values = read_values(checked, f"{layout.call_group(call)}/", record, 0)
            return StoredCall.of(record, values)
        except (KeyError, ValueError, RuntimeError, OSError) as error:
            raise DamagedFileError(f"Call {call} in {self.path} is damaged: {error}") from error

    def load_record(self, call: int) -> dict[str, Any]:
        """Read the record of one call."""
        if self.table.status[call] == PICKLED:
            return self.pickle_record(call)
        return self._open()[1][call]

    def _problems_with_results(self) -> list[Problem]:
        problems = []
        for call in np.flatnonzero(self.table.status == DONE):
            try:
                known, found = int(self.table.checksum[call]), self.load(int(call))
            except (AcmeIOError, OSError) as error:
                problems.append(Problem([int(call)], str(error)))
                continue
            if not fits(known, found.arrays):
                reason = f"The data of call {call} in {self.path} has changed."
                problems.append(Problem([int(call)], reason))
        return problems

    def close(self) -> None:
        """Close the container."""
        if self._container is not None:
            self._container.close()
            self._container = None
