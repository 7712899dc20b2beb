"""Read results from a single-file container."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from acme_io import layout
from acme_io.errors import AcmeIOError, DamagedFileError
from acme_io.files.checksum import fits
from acme_io.files.header import read_header
from acme_io.hdf5.checked_file import CheckedFile
from acme_io.hdf5.many_datasets import read_alike
from acme_io.hdf5.members import names_of
from acme_io.records.argument_text import recorded_arguments
from acme_io.records.call_record import DONE, PICKLED
from acme_io.storage.container_facts import ContainerFacts, ContainerRecords
from acme_io.storage.source import Problem, Source, StoredCall, read_values

__all__ = ["SCALARS", "SingleFileSource"]

Array = np.ndarray[Any, Any]

# Forms of values that are one number (`acme_io.values.encoding`).
SCALARS = ("bool", "int", "float", "complex", "scalar")


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
        return self._read(call, scalars=False)

    def load_scalars(self, call: int) -> StoredCall:
        """Read one call with status `DONE`, without its arrays."""
        return self._read(call, scalars=True)

    def _read(self, call: int, *, scalars: bool) -> StoredCall:
        checked, records = self._open()
        record = records[call]
        # No checksum of the call is compared here: `read_values` checks large datasets, and small
        # ones were checked with the structure of the file.
        try:
            group = f"{layout.call_group(call)}/"
            values = read_values(checked, group, record, 0, scalars=scalars)
            return StoredCall.of(record, values)
        except (KeyError, ValueError, RuntimeError, OSError) as error:
            raise DamagedFileError(f"Call {call} in {self.path} is damaged: {error}") from error

    def load_record(self, call: int) -> dict[str, Any]:
        """Read the record of one call."""
        if self.table.status[call] == PICKLED:
            return self.pickle_record(call)
        return self._open()[1][call]

    def alike(self, calls: Sequence[int]) -> bool:
        """Whether these calls returned values of the same form, judged by their records."""
        return self._open()[1].alike(calls)

    def stack(self, index: int, calls: range, missing: str) -> Array | None:
        """Read one return value of several calls as one array; see `Source.stack`.

        None unless all are numbers or arrays of one shape and dtype.
        """
        status = self.table.status[calls.start : calls.stop]
        done = (np.flatnonzero(status == DONE) + calls.start).tolist()
        if not done or (missing == "raise" and len(done) < len(calls)) or PICKLED in status:
            return None
        checked, records = self._open()
        forms = records[done[0]].get("values", [])
        form = forms[index] if 0 <= index < len(forms) else None
        if form not in (*SCALARS, "array") or not records.alike(done):
            return None
        paths = [f"{layout.call_group(call)}/{layout.result_name(index)}" for call in done]
        try:
            rows = read_alike(checked.fid, paths, numbers=form in ("bool", "float", "complex"))
        except (KeyError, ValueError, RuntimeError, OSError):
            return None  # read call by call, the one that is damaged is named
        if rows is None or (form in SCALARS and rows.size != len(done)):
            return None
        rows = rows.reshape(len(done)) if form in SCALARS else rows
        if missing == "raise":
            return rows
        stacked = np.zeros((len(calls), *rows.shape[1:]), rows.dtype)
        stacked[status == DONE] = rows
        mask = np.zeros(stacked.shape, bool)
        mask[status != DONE] = True
        return np.ma.MaskedArray(stacked, mask)

    def arguments(self, calls: Sequence[int]) -> list[dict[str, Any]]:
        """Read the arguments of calls, those in the container all at once."""
        pickled = (self.table.status[calls] == PICKLED).tolist()
        here = [call for call, other in zip(calls, pickled, strict=True) if not other]
        found = iter(recorded_arguments(map(self._open()[1].line, here)) if here else ())
        return [
            self.pickle_record(call).get("arguments", {}) if other else next(found)
            for call, other in zip(calls, pickled, strict=True)
        ]

    def _problems_with_results(self) -> list[Problem]:
        problems = []
        for call in np.flatnonzero(self.table.status == DONE):
            try:
                known, found = int(self.table.checksum[call]), self.load(int(call))
            except (AcmeIOError, OSError) as error:
                problems.append(Problem([int(call)], str(error)))
                continue
            if not fits(known, found.arrays, names_of(found.fields)):
                reason = f"The data of call {call} in {self.path} has changed."
                problems.append(Problem([int(call)], reason))
        return problems

    def close(self) -> None:
        """Close the container."""
        if self._container is not None:
            self._container.close()
            self._container = None
