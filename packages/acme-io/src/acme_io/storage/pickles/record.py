"""The record beside the pickles of a run: write it, and read results through it."""

from pathlib import Path
from typing import Any

import numpy as np

from acme_io import layout
from acme_io.hdf5.container import write_container
from acme_io.records.call_record import DONE
from acme_io.storage.finisher import BaseFinisher
from acme_io.storage.source import Problem, Source, StoredCall, own_files_present

__all__ = ["PickleFinisher", "PickleSource"]

Array = np.ndarray[Any, Any]


class PickleFinisher(BaseFinisher):
    """Writes the record, a container file without links and data."""

    layout = "pickles"

    def finish(self) -> None:
        """Write the record."""
        path = self.run.output_dir / layout.record_name(self.run.name)
        about = self._description(columns={"arguments": self.index.arguments})
        write_container(path, "record", about)


class PickleSource(Source):
    """One pickle per call; the parameters are those of `Source`."""

    only_pickles = True

    def file(self, call: int) -> Path:
        """Return the path of a call's pickle."""
        # `Source.file` tells formats apart by status; here `DONE` is a pickle, too.
        return self.folder / layout.pickle_name(self.name, call)

    def present(self) -> Array:
        """Return the status of every call, `MISSING` for pickles that no longer exist."""
        return own_files_present(self)

    def load(self, call: int) -> StoredCall:
        """Raise `TypeError`: a pickle has no arrays. Callers check `only_pickles` first."""
        raise TypeError(f"The result of call {call} is a pickle, which has no arrays.")

    def load_record(self, call: int) -> dict[str, Any]:
        """Read the record of one call."""
        return self.pickle_record(call)

    def _problems_with_results(self) -> list[Problem]:
        done = np.flatnonzero(self.table.status == DONE)
        return [problem for call in done for problem in self._problems_with_file(int(call))]
