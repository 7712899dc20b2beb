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

from acme_io.results.call_sequence import CallSequence
from acme_io.results.columns import Column
from acme_io.results.frames import to_pandas, to_xarray
from acme_io.results.labelled import Dims
from acme_io.results.selection import Calls
from acme_io.results.stacking import calls_per_chunk, stack, stacking_axis
from acme_io.results.tables import table_columns
from acme_io.runs.locate import find_source
from acme_io.runs.reading import RunReader

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

    Examples
    --------
    >>> from acme_io import open_results
    >>> with open_results("powers") as results:
    ...     results[4].values
    0.5
    """
    return Results(RunReader(find_source(Path(path)), allow_pickle))


class Results(CallSequence):
    """The calls of a run, in order: a lazy sequence. Made by `open_results`.

    A selection of calls is `Results` as well.

    Attributes
    ----------
    path : pathlib.Path
        The container.

    Examples
    --------
    All examples read one run. Its call 0 fails, as 0 has no power of -1::

        def power(base, exponent):
            return base**exponent

        arguments = cross([0, 1, 2]), cross([-1, 2])
        with ParallelMap(power, *arguments, output_dir="powers") as pmap:
            pmap.compute(on_error="keep")
        results = pmap.results

    >>> len(results), results.failed
    (6, [0])
    >>> results[4].arguments, results[4].values
    ({'base': 2, 'exponent': -1}, 0.5)
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

        Examples
        --------
        >>> results[1:].stack()
        array([0. , 1. , 1. , 0.5, 4. ])
        >>> print(results.stack(missing="mask"))
        [[-- 0.0]
         [1.0 1.0]
         [0.5 4.0]]
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
            Their results, shape `(len(calls), ...)`, also of calls that are a grid.

        Examples
        --------
        >>> for calls, stacked in results[1:].chunks(size=3):
        ...     print(list(calls), stacked)
        [1, 2, 3] [0. 1. 1.]
        [4, 5] [0.5 4. ]
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

        Examples
        --------
        >>> results.to_pandas()[["base", "exponent", "result_0", "status"]]
              base  exponent  result_0  status
        call
        0        0        -1       NaN  failed
        1        0         2       0.0    done
        2        1        -1       1.0    done
        3        1         2       1.0    done
        4        2        -1       0.5    done
        5        2         2       4.0    done
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

        Examples
        --------
        >>> data = results.to_xarray()
        >>> data["result_0"].dims
        ('base', 'exponent')
        >>> data["result_0"].sel(base=2, exponent=-1).item()
        0.5
        """
        return to_xarray(self._reader, self._calls, self.grid, dims)

    def _columns(self) -> list[Column]:
        """Return the columns of `to_pandas`, which need no pandas."""
        return table_columns(self._reader, self._calls)
