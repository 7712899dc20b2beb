"""One call of a run."""

from typing import Any

from acme_io.records.call_record import STATUS_NAMES, Failure
from acme_io.runs.reading import RunReader

__all__ = ["Call"]


class Call:
    """One call of a run. Made by indexing `Results`.

    Attributes
    ----------
    index : int
        The call's number in its run, from 0.
    """

    def __init__(self, reader: RunReader, index: int) -> None:
        self._reader, self.index = reader, index

    def __repr__(self) -> str:
        """Return the call's number and status."""
        return f"<Call {self.index}: {self.status}>"

    @property
    def status(self) -> str:
        """`"done"`, `"failed"`, `"missing"` or `"pickled"`."""
        return STATUS_NAMES[self._reader.status[self.index]]

    @property
    def values(self) -> Any:
        """The return value of the call, with its original type.

        Raises
        ------
        FailedCallError
            The call raised an exception.
        MissingCallError
            The call did not finish, or its file is gone.
        DamagedFileError
            The file has changed since it was written.
        PicklesRefusedError
            The value is a pickle, and `allow_pickle` is false.
        """
        return self._reader.values(self.index)

    @property
    def record(self) -> dict[str, Any]:
        """The record of the call: start, seconds, peak memory, worker, arguments."""
        return self._reader.record(self.index)

    @property
    def arguments(self) -> dict[str, Any]:
        """The call's distributed arguments: small ones by value, others as a summary."""
        found: dict[str, Any] = self.record.get("arguments", {})
        return found

    @property
    def failure(self) -> Failure | None:
        """Type, message and traceback of the exception, if the call failed."""
        return self._reader.failures.get(self.index)

    def __getattr__(self, name: str) -> Any:
        """Return one of several return values: `result_0`, `result_1` and so on."""
        # These are the dataset names of the files, so that code for h5py reads the same here.
        index = name.removeprefix("result_")
        if name == index or not index.isdigit():
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return self._reader.value(self.index, int(index))
