"""Results of many calls as one array: of one dataset, of rows in several files, of single values.

Calls without a result are never silent: they are refused, or masked.
"""

from typing import Any

import numpy as np

from .alike import AlikeSource
from .errors import MissingCallError
from .record import DONE
from .stacked_source import StackedSource

__all__ = ["stack_alike", "stack_rows", "stack_values"]

Array = np.ndarray[Any, Any]


def stack_alike(source: AlikeSource, calls: range, index: int, missing: str) -> Array | None:
    """Read one dataset; None where it has to be decoded call by call, or calls are missing.

    Parameters
    ----------
    source : AlikeSource
        Where the results lie.
    calls : range
        Which calls.
    index : int
        Which of several return values.
    missing : str
        `"raise"` or `"mask"`.
    """
    done = source.table.status[calls.start : calls.stop] == DONE
    rows = source.stack(index, calls) if missing == "mask" or done.all() else None
    if rows is None or missing == "raise" or not done.any():
        return rows if done.any() else None
    mask = np.zeros(rows.shape, bool)
    mask[~done] = True
    return np.ma.MaskedArray(rows, mask)


def stack_rows(source: StackedSource, calls: range, missing: str) -> Array:
    """Read the stacked dataset, file by file; the parameters are those of `stack_alike`.

    Raises
    ------
    MissingCallError
        Calls have no row, and `missing` is `"raise"`.
    """
    rows, absent = source.rows(calls)
    for at in np.flatnonzero(source.table.status[calls.start : calls.stop] != DONE):
        absent.setdefault(calls[at], MissingCallError("it has no row."))
    if absent and missing == "raise":
        listed = ", ".join(str(call) for call in sorted(absent)[:10])
        more = " …" if len(absent) > 10 else ""
        first = absent[min(absent)]
        raise MissingCallError(
            f"{len(absent)} of {len(calls)} calls have no row: {listed}{more}. First: {first} "
            'Use stack(missing="mask") for a masked array.'
        )
    if missing == "raise":
        return rows
    mask = np.zeros(rows.shape, bool)
    where: list[Any] = [slice(None)] * rows.ndim
    where[source.slots.stacking_axis] = [call - calls.start for call in sorted(absent)]
    mask[tuple(where)] = True
    return np.ma.MaskedArray(rows, mask)


def stack_values(rows: list[Any], absent: dict[int, Exception], missing: str) -> Array:
    """Stack values that were read call by call.

    Parameters
    ----------
    rows : list
        The values; any for calls without a result.
    absent : dict of int to Exception
        Positions of these.
    missing : str
        `"raise"` or `"mask"`.

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
    for call in absent:
        rows[call] = np.zeros(known.shape, known.dtype)
    shapes = {np.shape(row) for row in rows}
    if len(shapes) > 1:
        raise ValueError(
            f"The results have different shapes, {sorted(shapes)}, and cannot be stacked. Read "
            "them one by one."
        )
    stacked = np.array(rows)
    if missing == "raise":
        return stacked
    mask = np.zeros(stacked.shape, bool)
    mask[list(absent)] = True
    return np.ma.MaskedArray(stacked, mask)
