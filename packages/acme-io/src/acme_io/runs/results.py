"""Read the results of a run: `open_results`.

::

    with acme_io.open_results("my_folder") as results:
        results[3].values        exactly what call 3 returned
        results.stack()          one array over all calls

Results are read on access. Only h5py and NumPy are needed.
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
from acme_io.records.call_record import DONE, FAILED, MISSING, PICKLED, STATUS_NAMES, Failure
from acme_io.records.run_record import RunInfo
from acme_io.runs.locate import find_source
from acme_io.runs.stack_values import stack_values
from acme_io.storage.source import Source
from acme_io.values.encoding import decode, decode_one

__all__ = ["Call", "Results", "open_results"]

Array = np.ndarray[Any, Any]

# Bytes that `chunks` stacks at a time by default; its docstring says 64 MB.
_CHUNK = 64 << 20


def open_results(path: str | os.PathLike[str], allow_pickle: bool = False) -> "Results":
    """Open the results of a run.

    Parameters
    ----------
    path : path_like
        A container, an output directory or a payload folder.
    allow_pickle : bool
        Load results that are pickles. Unpickling runs code from the file: allow it only for files
        from people you trust.

    Returns
    -------
    Results
        A lazy sequence of calls; also a context manager.

    Raises
    ------
    FileNotFoundError
        The path does not exist.
    UnknownFileError
        acme-io did not write the file or folder, or it holds several results.
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
        """Return the call's number and status."""
        return f"<Call {self.number}: {self.status}>"

    @property
    def status(self) -> str:
        """`"done"`, `"failed"`, `"missing"` or `"pickled"`."""
        return self._results.status[self.number]

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
        return self._results._values(self.number)

    @property
    def record(self) -> dict[str, Any]:
        """The record of the call: start, seconds, peak memory, worker, arguments."""
        return self._results._record(self.number)

    @property
    def arguments(self) -> dict[str, Any]:
        """The call's distributed arguments: small ones by value, others as a summary."""
        found: dict[str, Any] = self.record.get("arguments", {})
        return found

    @property
    def failure(self) -> Failure | None:
        """Type, message and traceback of the exception, if the call failed."""
        return self._results.failures.get(self.number)

    def __getattr__(self, name: str) -> Any:
        """Return one of several return values: `result_0`, `result_1` and so on."""
        # These are the dataset names of the files, so that code for h5py reads the same here.
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
        """Return the function, the number of calls and the path."""
        # The run's record is read on access; a `repr` must work after the file has gone.
        try:
            name = self.run.function
        except (AcmeIOError, OSError):
            name = self._source.name
        return f"<Results of {name}: {len(self)} calls in {self.path}>"

    def __enter__(self) -> "Results":
        """Return `self`."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close all open files."""
        self.close()

    def close(self) -> None:
        """Close all open files; does nothing when called again."""
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
            raise IndexError(
                f"There is no call {index}: the run has {len(self)} calls, numbered from 0."
            ) from None

    def __iter__(self) -> Iterator[Call]:
        """Iterate over the calls in order."""
        return (Call(self, number) for number in range(len(self)))

    @property
    def _status(self) -> Array:
        # Unlike the table's status, this one counts lost files as missing. It costs a look at the
        # folder or at each file, so it is taken once; a file lost later shows when it is read.
        if self._present is None:
            self._present = self._source.present()
        return self._present

    @property
    def status(self) -> list[str]:
        """Status of each call: `"done"`, `"failed"`, `"missing"` or `"pickled"`."""
        return [STATUS_NAMES[code] for code in self._status]

    @property
    def run(self) -> RunInfo:
        """Identity of the run: function, user, host, time, options and versions."""
        return self._source.run

    @property
    def finished(self) -> float:
        """End of the run in seconds since 1970; NaN if not on record."""
        # The container is written at the end, with this time; a table scanned from payloads has
        # none.
        table = self._source.table
        return table.finished if isinstance(table, StoredTable) else float("nan")

    @property
    def failed(self) -> list[int]:
        """Numbers of the calls that raised an exception."""
        return [int(call) for call in np.flatnonzero(self._status == FAILED)]

    @property
    def missing(self) -> list[int]:
        """Numbers of the calls that did not finish or whose file is gone."""
        return [int(call) for call in np.flatnonzero(self._status == MISSING)]

    @property
    def failures(self) -> dict[int, Failure]:
        """Type, message and traceback of each failed call."""
        return self._source.table.failures

    @property
    def arguments(self) -> list[dict[str, Any]]:
        """The distributed arguments of every call; empty for calls without a record."""
        # The record of a call lies in its file, which a missing call does not have.
        found: list[dict[str, Any]] = [{} for _ in range(len(self))]
        stored = np.flatnonzero(np.isin(self._status, (DONE, PICKLED))).tolist()
        for call, arguments in zip(stored, self._source.arguments(stored), strict=True):
            found[call] = arguments
        for call in self.failed:
            found[call] = self._record(call).get("arguments", {})
        return found

    def stack(self, index: int = 0, *, missing: str = "raise") -> Array:
        """Stack the results of all calls into one array.

        Parameters
        ----------
        index : int
            Position of the return value, for calls that return several.
        missing : {"raise", "mask"}
            How to treat calls without a result: `"raise"` an error, or `"mask"` their rows.

        Returns
        -------
        numpy.ndarray
            Array of shape `(n_calls, ...)`; a masked one with `missing="mask"`.

        Raises
        ------
        MissingCallError
            No call has a result, or `missing` is `"raise"` and one call has none.
        FailedCallError, DamagedFileError
            The same for a call that failed, or whose file is damaged.
        ValueError
            The results differ in shape.
        """
        return self._stack(range(len(self)), index, missing)

    def _stack(self, calls: range, index: int, missing: str) -> Array:
        if missing not in ("raise", "mask"):
            raise ValueError(f'missing must be "raise" or "mask", not {missing!r}.')
        # Stacked and merged results lie in one dataset, read in one go; others call by call.
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
        """Stack the results in chunks, for results that do not fit in memory.

        Parameters
        ----------
        index : int
            Position of the return value, for calls that return several.
        size : int, optional
            Calls per chunk; by default chunks of about 64 MB, judged by the first result.
        missing : {"raise", "mask"}
            As in `stack`.

        Yields
        ------
        calls : range
            The calls of the chunk.
        stacked : numpy.ndarray
            Their results, shape `(len(calls), ...)`.
        """
        start = 0
        while start < len(self):
            step = size or self._chunk_size(index)
            calls = range(start, min(start + max(step, 1), len(self)))
            yield calls, self._stack(calls, index, missing)
            start = calls.stop

    def _chunk_size(self, index: int) -> int:
        """Return the number of calls whose results take about 64 MB together."""
        for call in np.flatnonzero(self._status == DONE):
            row = np.asarray(self._value(int(call), index))
            return max(_CHUNK // max(row.nbytes, 1), 1)
        return len(self)

    @property
    def lengths(self) -> Array | None:
        """Length of each row along the varying axis, shape `(n_calls,)`; None without one."""
        return self._source.lengths

    def _check(self, call: int) -> int:
        """Return the status code of a call with a result; raise for any other."""
        # The table, not `_status`: a lost file is reported by the code that opens it, by name.
        code = int(self._source.table.status[call])
        if code == FAILED:
            failure = self.failures.get(call, Failure("Exception", "not on record", ""))
            raise FailedCallError(
                f"Call {call} has no result because it failed: {failure.type}: {failure.message}\n"
                f"{failure.traceback}"
            )
        if code == MISSING:
            raise MissingCallError(
                f"Call {call} has no result: the run ended first. Run again with resume=True."
            )
        # A run that asked for pickles marks its calls as done; elsewhere a pickle is the exception.
        if code == PICKLED or self._source.only_pickles:
            if not self._allow_pickle:
                raise PicklesRefusedError(
                    f"The result of call {call} is a pickle, and loading a pickle runs code from "
                    "the file. If you trust its author, use open_results(..., allow_pickle=True) "
                    "or `acme-io show --allow-pickle`."
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
            # As in HDF5 files, a tuple means several return values.
            several = list(values) if isinstance(values, tuple) else [values]
        else:
            stored = self._source.load(call)
            if index < len(stored.record["values"]):
                return decode_one(stored.arrays, stored.record, index)
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
