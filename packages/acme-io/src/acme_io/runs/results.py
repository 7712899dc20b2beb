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

from acme_io.errors import AcmeIOError
from acme_io.hdf5.stored_table import StoredTable
from acme_io.records.call_record import FAILED, MISSING, STATUS_NAMES, Failure
from acme_io.records.run_record import RunInfo
from acme_io.runs.call import Call
from acme_io.runs.locate import find_source
from acme_io.runs.reading import RunReader
from acme_io.runs.stacking import calls_per_chunk, stack
from acme_io.storage.source import Source

__all__ = ["Results", "open_results"]

Array = np.ndarray[Any, Any]


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
        self._source, self._reader = source, RunReader(source, allow_pickle)
        self.path, self.table = source.path, source.table

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
            return [Call(self._reader, number) for number in range(len(self))[index]]
        try:
            return Call(self._reader, range(len(self))[index])
        except IndexError:
            raise IndexError(
                f"There is no call {index}: the run has {len(self)} calls, numbered from 0."
            ) from None

    def __iter__(self) -> Iterator[Call]:
        """Iterate over the calls in order."""
        return (Call(self._reader, number) for number in range(len(self)))

    @property
    def status(self) -> list[str]:
        """Status of each call: `"done"`, `"failed"`, `"missing"` or `"pickled"`."""
        return [STATUS_NAMES[code] for code in self._reader.status]

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
        return [int(call) for call in np.flatnonzero(self._reader.status == FAILED)]

    @property
    def missing(self) -> list[int]:
        """Numbers of the calls that did not finish or whose file is gone."""
        return [int(call) for call in np.flatnonzero(self._reader.status == MISSING)]

    @property
    def failures(self) -> dict[int, Failure]:
        """Type, message and traceback of each failed call."""
        return self._source.table.failures

    @property
    def arguments(self) -> list[dict[str, Any]]:
        """The distributed arguments of every call; empty for calls without a record."""
        return self._reader.arguments(range(len(self)))

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
        return stack(self._reader, range(len(self)), index, missing)

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
            step = size or calls_per_chunk(self._reader, index)
            calls = range(start, min(start + max(step, 1), len(self)))
            yield calls, stack(self._reader, calls, index, missing)
            start = calls.stop

    @property
    def lengths(self) -> Array | None:
        """Length of each row along the varying axis, shape `(n_calls,)`; None without one."""
        return self._source.lengths
