"""Read results that are one pickle per call."""

from pathlib import Path
from typing import Any

import numpy as np

from acme_io import layout
from acme_io.records.status import DONE
from acme_io.storage.source import Problem, Source, StoredCall, own_files_present

__all__ = ["PickleSource"]

Array = np.ndarray[Any, Any]


class PickleSource(Source):
    """One pickle per call; the parameters are those of `Source`."""

    only_pickles = True

    def file(self, call: int) -> Path:
        """Return the path of a call's pickle."""
        return self.folder / layout.pickle_name(self.name, call)

    def present(self) -> Array:
        """Return the status of every call; those whose pickles are gone are missing."""
        return own_files_present(self)

    def load(self, call: int) -> StoredCall:
        """Refuse: a pickle has no arrays. Callers check `only_pickles` and use `unpickle`."""
        raise TypeError(f"The result of call {call} is a pickle, which has no arrays.")

    def load_record(self, call: int) -> dict[str, Any]:
        """Read the record of one call."""
        return self.pickle_record(call)

    def _problems_with_results(self) -> list[Problem]:
        done = np.flatnonzero(self.table.status == DONE)
        return [problem for call in done for problem in self._problems_with_file(int(call))]
