"""Read single calls of a run: their status, values and records."""

from typing import Any

import numpy as np

from acme_io.errors import FailedCallError, MissingCallError, PicklesRefusedError
from acme_io.records.call_record import DONE, FAILED, MISSING, PICKLED, STATUS_NAMES, Failure
from acme_io.storage.source import Source
from acme_io.values.encoding import decode, decode_one
from acme_io.values.scalar_parts import decode_scalars

__all__ = ["RunReader"]

Array = np.ndarray[Any, Any]


class RunReader:
    """Reads the calls of one run; shared by its `Results` and their calls.

    Parameters
    ----------
    source : Source
        The files.
    allow_pickle : bool
        Whether results may be unpickled.
    """

    def __init__(self, source: Source, allow_pickle: bool) -> None:
        self.source, self.allow_pickle = source, allow_pickle
        self._present: Array | None = None

    @property
    def status(self) -> Array:
        """Status code of every call."""
        # Unlike the table's status, this one counts lost files as missing. It costs a look at the
        # folder or at each file, so it is taken once; a file lost later shows when it is read.
        if self._present is None:
            self._present = self.source.present()
        return self._present

    @property
    def failures(self) -> dict[int, Failure]:
        """Type, message and traceback of each failed call."""
        return self.source.table.failures

    def _check(self, call: int) -> int:
        """Return the status code of a call with a result; raise for any other."""
        # The table, not `status`: a lost file is reported by the code that opens it, by name.
        code = int(self.source.table.status[call])
        if code == FAILED:
            failure = self.failures.get(call, Failure("Exception", "not on record", ""))
            raise FailedCallError.of(call, failure.type, failure.message, failure.traceback)
        if code == MISSING:
            raise MissingCallError(
                f"Call {call} has no result: the run ended first. Run again with resume=True."
            )
        # A run that asked for pickles marks its calls as done; elsewhere a pickle is the exception.
        if code == PICKLED or self.source.only_pickles:
            if not self.allow_pickle:
                raise PicklesRefusedError(
                    f"The result of call {call} is a pickle, and loading a pickle runs code from "
                    "the file. If you trust its author, use open_results(..., allow_pickle=True) "
                    "or `acme-io show --allow-pickle`."
                )
            return PICKLED
        return code

    def values(self, call: int) -> Any:
        """Return what a call returned; see `Call.values`."""
        if self._check(call) == PICKLED:
            return self.source.unpickle(call)
        stored = self.source.load(call)
        return decode(stored.arrays, stored.record)

    def values_and_arguments(self, call: int) -> tuple[Any, dict[str, Any]]:
        """Return what a call returned, and its arguments on record."""
        if self._check(call) == PICKLED:
            return self.source.unpickle(call), self.source.load_record(call).get("arguments", {})
        stored = self.source.load(call)
        return decode(stored.arrays, stored.record), stored.record.get("arguments", {})

    def scalars_and_arguments(self, call: int) -> tuple[Any, dict[str, Any]]:
        """Return the same without arrays, frames and the like, for which `OMITTED` stands."""
        if self._check(call) == PICKLED:
            return self.values_and_arguments(call)
        stored = self.source.load_scalars(call)
        return decode_scalars(stored.arrays, stored.record), stored.record.get("arguments", {})

    def value(self, call: int, index: int) -> Any:
        """Return one of the return values of a call.

        Raises
        ------
        AttributeError
            The call returned fewer values. All other errors are those of `Call.values`.
        """
        if self._check(call) == PICKLED:
            values = self.source.unpickle(call)
            # As in HDF5 files, a tuple means several return values.
            several = list(values) if isinstance(values, tuple) else [values]
        else:
            stored = self.source.load(call)
            if index < len(stored.record["values"]):
                return decode_one(stored.arrays, stored.record, index)
            several = []
        if index >= len(several):
            raise AttributeError(f"Call {call} has no result_{index}.")
        return several[index]

    def record(self, call: int) -> dict[str, Any]:
        """Return the record of a call; of one without a result, what is known."""
        if self.source.table.status[call] in (DONE, PICKLED):
            return self.source.load_record(call)
        facts: dict[str, Any] = {"call": call, "status": STATUS_NAMES[self.status[call]]}
        if call in self.failures:
            facts["failure"] = self.failures[call]
            facts["arguments"] = dict(self.failures[call].arguments)
        return facts

    def arguments(self, numbers: Array) -> list[dict[str, Any]]:
        """Return the distributed arguments of some calls; empty for those without a record."""
        # The record of a call lies in its file, which a missing call does not have. Records are
        # read in the order of calls, file by file, and each once.
        wanted = np.unique(numbers)
        status = self.status[wanted]
        found: dict[int, dict[str, Any]] = {}
        stored = wanted[np.isin(status, (DONE, PICKLED))].tolist()
        found.update(zip(stored, self.source.arguments(stored), strict=True))
        for call in wanted[status == FAILED].tolist():
            found[call] = self.record(call).get("arguments", {})
        return [found.get(call, {}) for call in numbers.tolist()]
