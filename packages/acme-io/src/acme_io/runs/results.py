"""Read the results of a run: `open_results`.

::

    with acme_io.open_results("my_folder") as results:
        results[3].values        exactly what call 3 returned
        results.stack()          one array over all calls

Results are read on access. Only h5py and NumPy are needed.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from acme_io.runs.call_sequence import CallSequence
from acme_io.runs.columns import Column
from acme_io.runs.frames import to_pandas, to_xarray
from acme_io.runs.labelled import Dims
from acme_io.runs.locate import find_source
from acme_io.runs.reading import RunReader
from acme_io.runs.selection import Calls
from acme_io.runs.stacking import calls_per_chunk, stack, stacking_axis
from acme_io.runs.tables import table_columns

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

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


class Results(CallSequence):
    """The calls of a run, in order: a lazy sequence. Made by `open_results`.

    Attributes
    ----------
    path : pathlib.Path
        The container.
    """

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

    def to_xarray(self, *, dims: Dims = None) -> "xr.Dataset":
        """Return all results as arrays with named dimensions.

        Parameters
        ----------
        dims : sequence of str, or mapping of str to sequence of str, optional
            Names of the dimensions of each result, such as `["channel", "time"]`; if results have
            different ones, for each variable. By default `result_0_dim_0` and so on.

        Returns
        -------
        xarray.Dataset
            One variable per result, named as in `to_pandas`, but of any type. The first
            dimensions are the arguments of the grid, with their values as coordinates; without
            a grid, the first dimension is `call`, and the distributed arguments are coordinates
            along it. The coordinate `status` has the status of each call. Calls without a
            result have NaN, NaT or None: integers become floats there, and bools objects.
            Results of different shapes are objects, one array each; those that are labelled
            arrays themselves keep their dimensions and coordinates.

        Raises
        ------
        ImportError
            xarray is not installed.
        PicklesRefusedError
            A result is a pickle, and `allow_pickle` is false.
        DamagedFileError
            A file has changed since it was written.
        ValueError
            `dims` has another number of names than a result has dimensions.
        """
        return to_xarray(self._reader, self._calls, self.grid, dims)

    def _columns(self) -> list[Column]:
        """Return the columns of `to_pandas`, which need no pandas."""
        return table_columns(self._reader, self._calls)
