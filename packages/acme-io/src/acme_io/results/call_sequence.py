"""The calls of a run as a sequence: selection, status, arguments and records.

Everything here needs the container alone, apart from `arguments` and `sel`, which read the records
of calls.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, overload

import numpy as np

from acme_io.errors import AcmeIOError
from acme_io.hdf5.stored_table import StoredTable
from acme_io.records.call_record import FAILED, MISSING, STATUS_NAMES, Failure
from acme_io.records.call_table import CallTable
from acme_io.records.grid import Grid
from acme_io.records.run_record import RunInfo
from acme_io.results.grid import complete, grid_on_record, select_by_arguments, select_in_grid
from acme_io.results.selection import Calls, numbers_of, select
from acme_io.runs.call import Call
from acme_io.runs.reading import RunReader

__all__ = ["CallSequence"]

Array = np.ndarray[Any, Any]


class CallSequence(Sequence[Call]):
    """The calls of a run or of a selection: the part of `Results` that reads no results."""

    path: Path
    """The container."""

    def __init__(
        self, reader: RunReader, calls: Calls | None = None, grid: Grid | None = None
    ) -> None:
        self._reader, self._source, self._subgrid = reader, reader.source, grid
        self._calls: Calls = range(len(self._source.table)) if calls is None else calls
        self.path = self._source.path

    def __repr__(self) -> str:
        """Return the function, the number of calls and the path."""
        # The run's record is read on access; a `repr` must work after the file has gone.
        try:
            name = self.run.function
        except (AcmeIOError, OSError):
            name = self._source.name
        n_calls = len(self._source.table)
        count = f"{n_calls}" if self._whole else f"{len(self)} of {n_calls}"
        return f"<Results of {name}: {count} calls in {self.path}>"

    def __enter__(self) -> Self:
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
        """Close all open files, also those of selections; does nothing when called again.

        Examples
        --------
        >>> results.close()
        """
        self._source.close()

    @property
    def _whole(self) -> bool:
        """Whether these are all calls of the run, in order."""
        return isinstance(self._calls, range) and self._calls == range(len(self._source.table))

    def __len__(self) -> int:
        """Return the number of calls, finished or not.

        Examples
        --------
        >>> len(results)
        6
        """
        return len(self._calls)

    @overload
    def __getitem__(self, index: int) -> Call: ...
    @overload
    def __getitem__(self, index: Any) -> Self: ...
    def __getitem__(self, index: Any) -> Call | Self:
        """Return a call, or several as results of their own.

        Parameters
        ----------
        index : int, slice, sequence of int or bool, or array of these
            A position, or several, or a mask with one truth value per call. In the results of a
            run, positions are call numbers.

        Returns
        -------
        Call or Results
            A selection keeps the numbers of its calls, reads nothing, and shares the open files.

        Raises
        ------
        IndexError
            A position is outside, or the mask has another length.
        TypeError
            The index is of another type.

        Examples
        --------
        >>> results[-1]
        <Call 5: done>
        >>> [call.index for call in results[1:4]]
        [1, 2, 3]
        >>> [call.values for call in results[[5, 1]]]
        [4, 0]
        >>> len(results[results.table.seconds > 60])
        0
        """
        found = select(self._calls, index)
        if isinstance(found, int):
            return Call(self._reader, found)
        return type(self)(self._reader, found)

    def __iter__(self) -> Iterator[Call]:
        """Iterate over the calls in order.

        Examples
        --------
        >>> [call.values for call in results if call.status == "done"]
        [0, 1.0, 1, 0.5, 4]
        """
        return (Call(self._reader, int(number)) for number in self._calls)

    def filter(self, *, status: str | Iterable[str]) -> Self:
        """Select the calls with a status.

        Parameters
        ----------
        status : str or iterable of str
            One or several of `"done"`, `"failed"`, `"missing"` and `"pickled"`.

        Returns
        -------
        Results
            The calls, none if no call has that status.

        Raises
        ------
        ValueError
            There is no such status.

        Examples
        --------
        >>> for call in results.filter(status="failed"):
        ...     print(call.index, call.arguments, call.failure.type)
        0 {'base': 0, 'exponent': -1} ZeroDivisionError
        """
        names = {status} if isinstance(status, str) else set(status)
        unknown = sorted(names.difference(STATUS_NAMES))
        if unknown:
            raise ValueError(f"A call is one of {', '.join(STATUS_NAMES)}, never {unknown[0]!r}.")
        return self[np.isin(self._codes, [STATUS_NAMES.index(name) for name in names])]

    def sel(self, /, **arguments: Any) -> Self:
        """Select calls by the values of their arguments.

        Parameters
        ----------
        **arguments : object
            For an argument of the run's `grid`, or else a distributed argument: one value, a list
            or an array of values, or a slice of values, both ends included. Numbers that agree to
            nine digits count as equal.

        Returns
        -------
        Results
            The calls. Those of a grid are a grid, without the arguments given by one value.

        Raises
        ------
        KeyError
            There is no such argument, or it never has that value.

        Examples
        --------
        >>> [call.values for call in results.sel(base=2)]
        [0.5, 4]
        >>> results.sel(exponent=-1, base=slice(1, 2)).stack()
        array([1. , 0.5])
        """
        grid = self.grid
        if grid is None:
            chosen = select_by_arguments(self._calls, self.arguments, arguments)
            return type(self)(self._reader, chosen)
        return type(self)(self._reader, *select_in_grid(self._calls, grid, arguments))

    @property
    def grid(self) -> Grid | None:
        """The arguments whose combinations are the calls, with their values; None without any.

        Examples
        --------
        >>> results.grid
        Grid(names=('base', 'exponent'), values=([0, 1, 2], [-1, 2]))
        >>> results.grid.shape
        (3, 2)
        """
        grid = self._axes
        return grid if grid is None or grid is self._subgrid else complete(self._reader, grid)

    @property
    def _axes(self) -> Grid | None:
        """The grid of the calls; the values of the run's long axes may be unknown."""
        # Of other selections, which need not be grids, none is known.
        return grid_on_record(self._reader) if self._whole else self._subgrid

    @property
    def _codes(self) -> Array:
        """The status codes of the calls."""
        codes = self._reader.status
        return codes if self._whole else codes[numbers_of(self._calls)]

    def _with_status(self, code: int) -> list[int]:
        found: list[int] = numbers_of(self._calls)[self._codes == code].tolist()
        return found

    @property
    def status(self) -> list[str]:
        """Status of each call: `"done"`, `"failed"`, `"missing"` or `"pickled"`.

        Examples
        --------
        >>> results.status
        ['failed', 'done', 'done', 'done', 'done', 'done']
        """
        return [STATUS_NAMES[code] for code in self._codes.tolist()]

    @property
    def table(self) -> CallTable:
        """What the run recorded about every call, as columns.

        Returns
        -------
        CallTable
            NumPy arrays of shape `(n_calls,)`: `started` (seconds since 1970), `seconds`,
            `peak_memory` (bytes), `worker` (an index into the list `workers`), `attempts`,
            `checksum` and the code of the `status`.

        Examples
        --------
        >>> results.table.attempts.tolist()
        [1, 1, 1, 1, 1, 1]
        """
        return (
            self._source.table if self._whole else self._source.table.take(numbers_of(self._calls))
        )

    @property
    def run(self) -> RunInfo:
        """Identity of the run: function, user, host, time, options and versions.

        Examples
        --------
        >>> results.run.function, results.run.n_calls
        ('power', 6)
        """
        return self._source.run

    @property
    def finished(self) -> float:
        """End of the run in seconds since 1970; NaN if not on record.

        Examples
        --------
        >>> results.finished > results.run.started
        True
        """
        # The container is written at the end, with this time; a table scanned from payloads has
        # none.
        table = self._source.table
        return table.finished if isinstance(table, StoredTable) else float("nan")

    @property
    def failed(self) -> list[int]:
        """Numbers of the calls that raised an exception.

        Examples
        --------
        >>> results.failed
        [0]
        """
        return self._with_status(FAILED)

    @property
    def missing(self) -> list[int]:
        """Numbers of the calls that did not finish or whose file is gone.

        Examples
        --------
        >>> results.missing
        []
        """
        return self._with_status(MISSING)

    @property
    def failures(self) -> dict[int, Failure]:
        """Type, message and traceback of each failed call, by its number.

        Examples
        --------
        >>> {call: failure.type for call, failure in results.failures.items()}
        {0: 'ZeroDivisionError'}
        """
        failures = self._reader.failures
        if self._whole or not failures:
            return failures
        numbers = numbers_of(self._calls).tolist()
        return {number: failures[number] for number in numbers if number in failures}

    @property
    def arguments(self) -> list[dict[str, Any]]:
        """The distributed arguments of every call; empty for calls without a record.

        Examples
        --------
        >>> results.arguments[4]
        {'base': 2, 'exponent': -1}
        """
        return self._reader.arguments(numbers_of(self._calls))

    @property
    def lengths(self) -> Array | None:
        """Length of each row along the varying axis, shape `(n_calls,)`; None without one.

        `result_shape` has a varying axis where one of its lengths is `numpy.inf`.

        Examples
        --------
        >>> results.lengths is None
        True
        """
        lengths = self._source.lengths
        return lengths if lengths is None or self._whole else lengths[numbers_of(self._calls)]
