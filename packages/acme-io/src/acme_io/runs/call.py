"""One call of a run."""

from typing import Any

from acme_io.records.call_record import STATUS_NAMES, Failure
from acme_io.runs.reading import RunReader

__all__ = ["Call"]


class Call:
    """One call of a run. Made by indexing `Results`, whose examples read the same run.

    Attributes
    ----------
    index : int
        The call's number in its run, from 0.

    Examples
    --------
    >>> call = results[4]
    >>> call
    <Call 4: done>
    >>> call.index
    4
    """

    def __init__(self, reader: RunReader, index: int) -> None:
        self._reader, self.index = reader, index

    def __repr__(self) -> str:
        """Return the call's number and status."""
        return f"<Call {self.index}: {self.status}>"

    @property
    def number(self) -> int:
        """The same as `index`.

        Examples
        --------
        >>> results[4].number
        4
        """
        return self.index

    @property
    def status(self) -> str:
        """`"done"`, `"failed"`, `"missing"` or `"pickled"`.

        Examples
        --------
        >>> results[0].status
        'failed'
        """
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

        Examples
        --------
        >>> results[4].values
        0.5
        """
        return self._reader.values(self.index)

    @property
    def record(self) -> dict[str, Any]:
        """The record of the call, as its worker wrote it.

        Returns
        -------
        dict
            `call`, `status`, `started` (seconds since 1970), `seconds`, `peak_memory` (bytes),
            `worker`, `attempt`, `arguments` and further entries, described on the page about the
            file format. Of a call without a result, what is known.

        Examples
        --------
        >>> record = results[4].record
        >>> record["call"], record["status"], record["attempt"], record["arguments"]
        (4, 'done', 1, {'base': 2, 'exponent': -1})
        """
        return self._reader.record(self.index)

    @property
    def arguments(self) -> dict[str, Any]:
        """The call's distributed arguments: small ones by value, others as a summary.

        Examples
        --------
        >>> results[4].arguments
        {'base': 2, 'exponent': -1}
        """
        found: dict[str, Any] = self.record.get("arguments", {})
        return found

    @property
    def failure(self) -> Failure | None:
        """Type, message and traceback of the exception, if the call failed.

        Examples
        --------
        >>> results[0].failure.type
        'ZeroDivisionError'
        >>> results[4].failure is None
        True
        """
        return self._reader.failures.get(self.index)

    def __getattr__(self, name: str) -> Any:
        """Return one of several return values: `result_0`, `result_1` and so on.

        Examples
        --------
        >>> results[4].result_0
        0.5
        """
        # These are the dataset names of the files, so that code for h5py reads the same here.
        index = name.removeprefix("result_")
        if name == index or not index.isdigit():
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return self._reader.value(self.index, int(index))
