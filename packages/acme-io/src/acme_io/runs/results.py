"""Read the results of a run: `open_results`.

::

    with acme_io.open_results("my_folder") as results:
        results[3].values        exactly what call 3 returned
        results.stack()          one array over all calls

Nothing is read before it is asked for. Only h5py and NumPy are needed.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, overload

import numpy as np

from acme_io.errors import (
    AcmeIOError,
    DamagedFileError,
    FailedCallError,
    MissingCallError,
    PicklesRefusedError,
)
from acme_io.hdf5.stored_table import StoredTable
from acme_io.records.call_record import Failure
from acme_io.records.run_record import RunInfo
from acme_io.records.status import DONE, FAILED, MISSING, PICKLED, STATUS_NAMES
from acme_io.runs.locate import find_source
from acme_io.runs.stack_values import stack_values
from acme_io.storage.source import Source
from acme_io.values.encoding import decode, decode_value

__all__ = ["Call", "Results", "open_results"]

Array = np.ndarray[Any, Any]

_CHUNK = 64 << 20  # bytes


def open_results(path: str | os.PathLike[str], allow_pickle: bool = False) -> "Results":
    """Open the results of a run.

    Parameters
    ----------
    path : path_like
        A container, an output directory or a payload folder.
    allow_pickle : bool
        Load results that are pickles. Unpickling runs code from the file: allow it only for files
        of people you trust.

    Returns
    -------
    Results
        A lazy sequence of calls; also a context manager.

    Raises
    ------
    FileNotFoundError
        There is nothing at this path.
    UnknownFileError
        acme-io did not write what is there.
    DamagedFileError
        The container has changed since it was written.
    """
    return Results(find_source(Path(path)), allow_pickle)


class Call:
    """One call of a run. Made by indexing `Results`.

    Attributes
    ----------
    number : int
        The call's number.
    """

    def __init__(self, results: "Results", number: int) -> None:
        self._results, self.number = results, number

    def __repr__(self) -> str:
        """Say which call this is and what became of it."""
        return f"<Call {self.number}: {self.status}>"

    @property
    def status(self) -> str:
        """`"done"`, `"failed"`, `"missing"` or `"pickled"`."""
        return self._results.status[self.number]

    @property
    def values(self) -> Any:
        """Exactly what the call returned, with its type.

        Raises
        ------
        FailedCallError
            The call raised an exception.
        MissingCallError
            The call was not finished, or its file is gone.
        DamagedFileError
            Its file has changed since it was written.
        PicklesRefusedError
            The value is a pickle, and `allow_pickle` was not given.
        """
        return self._results._values(self.number)

    @property
    def record(self) -> dict[str, Any]:
        """What is on record about the call: start, seconds, peak memory, worker, arguments."""
        return self._results._record(self.number)

    @property
    def arguments(self) -> dict[str, Any]:
        """The call's distributed arguments: short ones by value, others as a summary."""
        found: dict[str, Any] = self.record.get("arguments", {})
        return found

    @property
    def failure(self) -> Failure | None:
        """Type, message and traceback of the exception, if the call failed."""
        return self._results.failures.get(self.number)

    def __getattr__(self, name: str) -> Any:
        """Return one of several return values: `result_0`, `result_1` and so on."""
        index = name.removeprefix("result_")
        if name == index or not index.isdigit():
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return self._results._value(self.number, int(index))


class Results(Sequence[Call]):
    """The calls of a run, in order: a lazy sequence. Made by `open_results`.

    Attributes
    ----------
    path : pathlib.Path
        The container.
    table : CallTable
        Start, seconds, peak memory, worker, attempts and checksum of every call, as columns.
    """

    def __init__(self, source: Source, allow_pickle: bool) -> None:
        self._source, self._allow_pickle = source, allow_pickle
        self.path, self.table = source.path, source.table
        self._present: Array | None = None

    def __repr__(self) -> str:
        """Say whose results these are."""
        try:
            name = self.run.function
        except (AcmeIOError, OSError):  # the file is gone: no reason to fail here
            name = self._source.name
        return f"<Results of {name}: {len(self)} calls in {self.path}>"

    def __enter__(self) -> "Results":
        """Return the results themselves."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close what is open."""
        self.close()

    def close(self) -> None:
        """Close what is open; harmless when called again."""
        self._source.close()

    def __len__(self) -> int:
        """Return the number of calls of the run, finished or not."""
        return len(self.table)

    @overload
    def __getitem__(self, index: int) -> Call: ...
    @overload
    def __getitem__(self, index: slice) -> list[Call]: ...
    def __getitem__(self, index: int | slice) -> Call | list[Call]:
        """Return a call, or a list of them for a slice."""
        if isinstance(index, slice):
            return [Call(self, number) for number in range(len(self))[index]]
        try:
            return Call(self, range(len(self))[index])
        except IndexError:
            raise IndexError(f"There is no call {index}: the run has {len(self)} calls.") from None

    def __iter__(self) -> Iterator[Call]:
        """Iterate over the calls in order."""
        return (Call(self, number) for number in range(len(self)))

    @property
    def _status(self) -> Array:
        if self._present is None:
            self._present = self._source.present()
        return self._present

    @property
    def status(self) -> list[str]:
        """What became of each call: `"done"`, `"failed"`, `"missing"` or `"pickled"`."""
        return [STATUS_NAMES[code] for code in self._status]

    @property
    def run(self) -> RunInfo:
        """Who computed what, when and with what."""
        return self._source.run

    @property
    def finished(self) -> float:
        """End of the run, seconds since 1970; NaN if it was not on record."""
        table = self._source.table
        return table.finished if isinstance(table, StoredTable) else float("nan")

    @property
    def failed(self) -> list[int]:
        """Numbers of the calls that raised an exception."""
        return [int(call) for call in np.flatnonzero(self._status == FAILED)]

    @property
    def missing(self) -> list[int]:
        """Numbers of the calls that were not finished or whose file is gone."""
        return [int(call) for call in np.flatnonzero(self._status == MISSING)]

    @property
    def failures(self) -> dict[int, Failure]:
        """Type, message and traceback of each failed call."""
        return self._source.table.failures

    @property
    def arguments(self) -> list[dict[str, Any]]:
        """The distributed arguments of every call; empty where there is no record."""
        # A call whose file is gone has no record to read.
        return [
            {} if code == MISSING else self._record(call).get("arguments", {})
            for call, code in enumerate(self._status)
        ]

    def stack(self, index: int = 0, *, missing: str = "raise") -> Array:
        """Put the results of all calls into one array.

        Parameters
        ----------
        index : int
            Which of several return values.
        missing : str
            What to do about calls without a result: `"raise"`, or `"mask"` to get a masked array.

        Returns
        -------
        numpy.ndarray
            Array of shape `(n_calls, ...)`; a masked one with `missing="mask"`.

        Raises
        ------
        MissingCallError
            Calls have no result, and `missing` is `"raise"`.
        ValueError
            The results differ in shape.
        """
        return self._stack(range(len(self)), index, missing)

    def _stack(self, calls: range, index: int, missing: str) -> Array:
        if missing not in ("raise", "mask"):
            raise ValueError(f'missing must be "raise" or "mask", not {missing!r}.')
        found = self._source.stack(index, calls, missing)
        if found is not None:
            return found
        rows: list[Any] = []
        absent: dict[int, Exception] = {}
        for at, call in enumerate(calls):
            try:
                rows.append(self._value(call, index))
            except (MissingCallError, FailedCallError, DamagedFileError, OSError) as error:
                if missing == "raise":
                    raise
                absent[at] = error
                rows.append(None)
        return stack_values(rows, absent, missing)

    def chunks(
        self, index: int = 0, *, size: int | None = None, missing: str = "raise"
    ) -> Iterator[tuple[range, Array]]:
        """Stack the results piece by piece, for results that do not fit in memory.

        Parameters
        ----------
        index : int
            Which of several return values.
        size : int, optional
            Calls per piece; without it, pieces of about 64 MB, judged by the first result.
        missing : str
            As in `stack`.

        Yields
        ------
        calls : range
            The calls of the piece.
        stacked : numpy.ndarray
            Their results, as `stack` would put them together.
        """
        start = 0
        while start < len(self):
            step = size or self._chunk_size(index)
            calls = range(start, min(start + max(step, 1), len(self)))
            yield calls, self._stack(calls, index, missing)
            start = calls.stop

    def _chunk_size(self, index: int) -> int:
        """Count the calls whose results take about 64 MB together."""
        for call in np.flatnonzero(self._status == DONE):
            row = np.asarray(self._value(int(call), index))
            return max(_CHUNK // max(row.nbytes, 1), 1)
        return len(self)

    @property
    def lengths(self) -> Array | None:
        """Length of each row along the varying axis, shape (n_calls,); None without one."""
        return self._source.lengths

    def _check(self, call: int) -> int:
        code = int(self._source.table.status[call])
        if code == FAILED:
            failure = self.failures.get(call, Failure("Exception", "not on record", ""))
            raise FailedCallError(
                f"Call {call} has no result, it failed: {failure.type}: {failure.message}\n"
                f"{failure.traceback}"
            )
        if code == MISSING:
            raise MissingCallError(
                f"Call {call} has no result: the run ended before it. Run again with resume=True."
            )
        if code == PICKLED or self._source.only_pickles:
            if not self._allow_pickle:
                raise PicklesRefusedError(
                    f"The result of call {call} is a pickle. Loading a pickle runs code from it: "
                    "if you trust who wrote it, use open_results(..., allow_pickle=True)."
                )
            return PICKLED
        return code

    def _values(self, call: int) -> Any:
        if self._check(call) == PICKLED:
            return self._source.unpickle(call)
        stored = self._source.load(call)
        return decode(stored.arrays, stored.record)

    def _value(self, call: int, index: int) -> Any:
        if self._check(call) == PICKLED:
            values = self._source.unpickle(call)
            several = list(values) if isinstance(values, tuple) else [values]
        else:
            stored = self._source.load(call)
            if index < len(stored.arrays):
                return decode_value(stored.arrays[index], stored.record["values"][index])
            several = []
        if index >= len(several):
            raise AttributeError(f"Call {call} has no result_{index}.")
        return several[index]

    def _record(self, call: int) -> dict[str, Any]:
        if self._source.table.status[call] in (DONE, PICKLED):
            return self._source.load_record(call)
        facts: dict[str, Any] = {"call": call, "status": STATUS_NAMES[self._status[call]]}
        if call in self.failures:
            facts["failure"] = self.failures[call]
            facts["arguments"] = dict(self.failures[call].arguments)
        return facts
