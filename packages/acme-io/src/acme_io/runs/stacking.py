"""Stack the results of many calls into one array."""

from typing import Any

import numpy as np

from acme_io.errors import DamagedFileError, FailedCallError, MissingCallError
from acme_io.records.call_record import DONE
from acme_io.runs.reading import RunReader

__all__ = ["calls_per_chunk", "stack", "stack_values"]

Array = np.ndarray[Any, Any]

# Bytes that `Results.chunks` stacks at a time by default; its docstring says 64 MB.
_CHUNK = 64 << 20


def stack(reader: RunReader, calls: range, index: int, missing: str) -> Array:
    """Stack one return value of several calls; see `Results.stack`."""
    if missing not in ("raise", "mask"):
        raise ValueError(f'missing must be "raise" or "mask", not {missing!r}.')
    # Stacked and merged results lie in one dataset, read in one go; others call by call.
    found = reader.source.stack(index, calls, missing)
    if found is not None:
        return found
    rows: list[Any] = []
    absent: dict[int, Exception] = {}
    for at, call in enumerate(calls):
        try:
            rows.append(reader.value(call, index))
        except (MissingCallError, FailedCallError, DamagedFileError, OSError) as error:
            if missing == "raise":
                raise
            absent[at] = error
            rows.append(None)
    return stack_values(rows, absent, missing)


def calls_per_chunk(reader: RunReader, index: int) -> int:
    """Return the number of calls whose results take about 64 MB together."""
    for call in np.flatnonzero(reader.status == DONE):
        row = np.asarray(reader.value(int(call), index))
        return max(_CHUNK // max(row.nbytes, 1), 1)
    return len(reader.status)


def stack_values(rows: list[Any], absent: dict[int, Exception], missing: str) -> Array:
    """Stack values that were read one call at a time.

    Parameters
    ----------
    rows : list
        One value per call, changed in place; placeholders for calls without a result.
    absent : dict of int to Exception
        Positions of the placeholders, with the reason.
    missing : {"raise", "mask"}
        Whether to return a masked array. The caller has raised already for `"raise"`.

    Returns
    -------
    numpy.ndarray
        Array of shape `(len(rows), ...)`; a masked one with `missing="mask"`.

    Raises
    ------
    MissingCallError
        No call has a result.
    ValueError
        The values differ in shape.
    """
    known = next((np.asarray(row) for call, row in enumerate(rows) if call not in absent), None)
    if known is None:
        raise MissingCallError("No call has a result to stack.")
    # Fill the gaps in the shape and dtype of a real result, or `np.array` would make objects.
    for call in absent:
        rows[call] = np.zeros(known.shape, known.dtype)
    shapes = {np.shape(row) for row in rows}
    if len(shapes) > 1:
        raise ValueError(
            f"The results have different shapes, {sorted(shapes)}, and cannot be stacked. Read "
            "them call by call."
        )
    stacked = np.array(rows)
    if missing == "raise":
        return stacked
    mask = np.zeros(stacked.shape, bool)
    mask[list(absent)] = True
    return np.ma.MaskedArray(stacked, mask)
