"""Read the results of a run: `open_results`.

::

    with acme_io.open_results("my_folder") as results:
        results[3].values        exactly what call 3 returned
        results.stack()          one array over all calls

Results are read on access. Only h5py and NumPy are needed.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from acme_io.errors import AcmeIOError
from acme_io.hdf5.stored_table import StoredTable
from acme_io.records.call_record import FAILED, MISSING, STATUS_NAMES, Failure
from acme_io.records.call_table import CallTable
from acme_io.records.grid import Grid
from acme_io.records.run_record import RunInfo
from acme_io.runs.call import Call
from acme_io.runs.columns import Column
from acme_io.runs.frames import to_pandas
from acme_io.runs.grid import complete, grid_on_record, select_by_arguments, select_in_grid
from acme_io.runs.locate import find_source
from acme_io.runs.reading import RunReader
from acme_io.runs.selection import Calls, numbers_of, select
from acme_io.runs.stacking import calls_per_chunk, stack, stacking_axis
from acme_io.runs.tables import table_columns

if TYPE_CHECKING:
    import pandas as pd

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
    return Results(RunReader(find_source(Path(path)), allow_pickle))


class Results(Sequence[Call]):
    """The calls of a run, in order: a lazy sequence. Made by `open_results`.

    Attributes
    ----------
    path : pathlib.Path
        The container.
    """

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

    @property
    def _whole(self) -> bool:
        """Whether these are all calls of the run, in order."""
        return isinstance(self._calls, range) and self._calls == range(len(self._source.table))

    def __len__(self) -> int:
        """Return the number of calls, finished or not."""
        return len(self._calls)

    @overload
    def __getitem__(self, index: int) -> Call: ...
    @overload
    def __getitem__(self, index: Any) -> "Results": ...
    def __getitem__(self, index: Any) -> "Call | Results":
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
        """
        found = select(self._calls, index)
        if isinstance(found, int):
            return Call(self._reader, found)
        return Results(self._reader, found)

    def __iter__(self) -> Iterator[Call]:
        """Iterate over the calls in order."""
        return (Call(self._reader, int(number)) for number in self._calls)

    def filter(self, *, status: str | Iterable[str]) -> "Results":
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
        """
        names = {status} if isinstance(status, str) else set(status)
        unknown = sorted(names.difference(STATUS_NAMES))
        if unknown:
            raise ValueError(f"A call is one of {', '.join(STATUS_NAMES)}, never {unknown[0]!r}.")
        return self[np.isin(self._codes, [STATUS_NAMES.index(name) for name in names])]

    def sel(self, /, **arguments: Any) -> "Results":
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
        """
        grid = self.grid
        if grid is None:
            arguments_on_record = self.arguments
            return Results(
                self._reader, select_by_arguments(self._calls, arguments_on_record, arguments)
            )
        return Results(self._reader, *select_in_grid(self._calls, grid, arguments))

    @property
    def grid(self) -> Grid | None:
        """The arguments whose combinations are the calls, with their values; None without any."""
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
        """Status of each call: `"done"`, `"failed"`, `"missing"` or `"pickled"`."""
        return [STATUS_NAMES[code] for code in self._codes.tolist()]

    @property
    def table(self) -> CallTable:
        """Start, seconds, peak memory (bytes), worker and attempts of every call, as columns."""
        return (
            self._source.table if self._whole else self._source.table.take(numbers_of(self._calls))
        )

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
        return self._with_status(FAILED)

    @property
    def missing(self) -> list[int]:
        """Numbers of the calls that did not finish or whose file is gone."""
        return self._with_status(MISSING)

    @property
    def failures(self) -> dict[int, Failure]:
        """Type, message and traceback of each failed call, by its number."""
        failures = self._reader.failures
        if self._whole or not failures:
            return failures
        numbers = numbers_of(self._calls).tolist()
        return {number: failures[number] for number in numbers if number in failures}

    @property
    def arguments(self) -> list[dict[str, Any]]:
        """The distributed arguments of every call; empty for calls without a record."""
        return self._reader.arguments(self._calls)

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
            Array of shape `(n_calls, ...)`; a masked one with `missing="mask"`. The calls of a
            grid have one axis per argument in front, of the shape `grid.shape`. Results that were
            stored with `result_shape` have the calls along its stacking dimension.

        Raises
        ------
        MissingCallError
            No call has a result, or `missing` is `"raise"` and one call has none.
        FailedCallError, DamagedFileError
            The same for a call that failed, or whose file is damaged.
        ValueError
            The results differ in shape.
        """
        stacked, axes = stack(self._reader, self._calls, index, missing), self._axes
        if axes is None:
            return stacked
        rows = np.moveaxis(stacked, stacking_axis(self._reader, index), 0)
        return rows.reshape(axes.shape + rows.shape[1:])

    def chunks(
        self, index: int = 0, *, size: int | None = None, missing: str = "raise"
    ) -> Iterator[tuple[Calls, Array]]:
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
        calls : range or numpy.ndarray
            The numbers of the calls in the chunk; an array if they are not evenly spaced.
        stacked : numpy.ndarray
            Their results, shape `(len(calls), ...)`.
        """
        start = 0
        while start < len(self):
            step = size or calls_per_chunk(self._reader, index)
            calls = self._calls[start : start + max(step, 1)]
            yield calls, stack(self._reader, calls, index, missing)
            start += len(calls)

    def to_pandas(self) -> "pd.DataFrame":
        """Return a table with a row per call.

        Returns
        -------
        pandas.DataFrame
            The index, `call`, has the numbers of the calls. The columns are:

            - the distributed arguments, or those of the grid, named like the parameters; of an
              argument that is no number or text, its type and shape as text;
            - the scalar results: `result_0`, `result_1` and so on, the fields of a named tuple, or
              the keys of a dict, joined by a dot in nested ones (`fit.slope`). Arrays and other
              results have no column;
            - `status`, `seconds` (run time), `peak_memory` (bytes, of the worker) and `worker`.

            A call without a result has a row as well: NaN, NaT or None stand for values that it
            lacks. A result whose name another column has is called `result.name`; one of the last
            four columns, `call.name`.

        Raises
        ------
        ImportError
            pandas is not installed.
        PicklesRefusedError
            A result is a pickle, and `allow_pickle` is false.
        DamagedFileError
            A file has changed since it was written.
        """
        return to_pandas(self._reader, self._calls)

    def _columns(self) -> list[Column]:
        """Return the columns of `to_pandas`, which need no pandas."""
        return table_columns(self._reader, self._calls)

    @property
    def lengths(self) -> Array | None:
        """Length of each row along the varying axis, shape `(n_calls,)`; None without one."""
        lengths = self._source.lengths
        return lengths if lengths is None or self._whole else lengths[numbers_of(self._calls)]
