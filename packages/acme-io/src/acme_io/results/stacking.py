"""Stack the results of many calls into one array."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from acme_io.errors import DamagedFileError, FailedCallError, MissingCallError
from acme_io.records.call_record import DONE, PICKLED
from acme_io.results.selection import Calls, numbers_of
from acme_io.runs.reading import RunReader

__all__ = ["calls_per_chunk", "stack", "stack_intact", "stack_values", "stacking_axis"]

Array = np.ndarray[Any, Any]

# Bytes that `Results.chunks` stacks at a time by default; its docstring says 64 MB.
_CHUNK = 64 << 20
# Selected calls with fewer others between them are read together with these.
_GAP = 8


def stack(reader: RunReader, calls: Calls, index: int, missing: str) -> Array:
    """Stack one return value of several calls; see `Results.stack`.

    The calls lie along the stacking axis of the source, which is the first one but for
    `result_shape`.
    """
    if missing not in ("raise", "mask"):
        raise ValueError(f'missing must be "raise" or "mask", not {missing!r}.')
    numbers = numbers_of(calls)
    stored = np.isin(reader.source.table.status[numbers], (DONE, PICKLED))
    if not len(numbers) or (missing == "mask" and not stored.any()):
        raise MissingCallError("No call has a result to stack.")
    found = stack_at_once(reader, calls, index, missing)
    if found is not None:
        return found
    rows: list[Any] = []
    absent: dict[int, Exception] = {}
    for at, call in enumerate(numbers.tolist()):
        try:
            rows.append(reader.value(call, index))
        except (MissingCallError, FailedCallError, DamagedFileError, OSError) as error:
            if missing == "raise":
                raise
            absent[at] = error
            rows.append(None)
    return np.moveaxis(stack_values(rows, absent, missing), 0, stacking_axis(reader, index))


def stack_at_once(reader: RunReader, calls: Calls, index: int, missing: str) -> Array | None:
    """Stack results that lie in one dataset, or in many alike; None for any other results."""
    if isinstance(calls, range) and calls.step == 1:
        return reader.source.stack(index, calls, missing)
    return _stack_selected(reader, numbers_of(calls), index, missing)


def stack_intact(reader: RunReader, calls: Calls, index: int) -> Array | None:
    """Stack results at once, the calls first; rows of calls without a result are arbitrary.

    None for results that cannot be stacked at once, and if a call on record as done has none: read
    one by one, that call is named.
    """
    found = stack_at_once(reader, calls, index, "mask")
    if found is None:
        return None
    rows = np.moveaxis(found, stacking_axis(reader, index), 0)
    done = reader.status[numbers_of(calls)] == DONE
    intact = not np.ma.getmaskarray(rows)[done].any() if rows.dtype.names is None else True
    return np.ma.getdata(rows) if intact else None


def stacking_axis(reader: RunReader, index: int) -> int:
    """Return the axis along which the calls lie in a stack of one return value."""
    return 0 if index else reader.source.stacking_axis


def _stack_selected(reader: RunReader, calls: Array, index: int, missing: str) -> Array | None:
    """Stack calls with gaps between them; None to have them read call by call.

    Blocks of calls are read whole and the selected rows taken: that is quicker than reading row by
    row, unless the calls are far apart.
    """
    table = reader.source.table
    if missing == "raise" and not (table.status[calls] == DONE).all():
        return None  # read call by call, the first without a result is named
    wanted, places = np.unique(calls, return_inverse=True)
    blocks = list(_blocks(wanted, calls_per_chunk(reader, index)))
    if len(blocks) > len(wanted) // 2:
        return None
    axis, pieces = stacking_axis(reader, index), []
    for block in blocks:
        # Calls between the selected ones may lack results.
        covering = range(int(block[0]), int(block[-1]) + 1)
        found = reader.source.stack(index, covering, "mask")
        if found is None or found.dtype.names:  # masks of structured arrays have fields, too
            return None
        pieces.append(np.take(found, block - covering.start, axis))
    first = pieces[0].dtype, np.delete(pieces[0].shape, axis).tolist()
    if any((one.dtype, np.delete(one.shape, axis).tolist()) != first for one in pieces):
        return None
    mask = np.take(np.concatenate([np.ma.getmaskarray(one) for one in pieces], axis), places, axis)
    rows = np.take(np.concatenate([np.ma.getdata(one) for one in pieces], axis), places, axis)
    if missing == "mask":
        return np.ma.MaskedArray(rows, mask)
    return None if mask.any() else rows


def _blocks(calls: Array, longest: int) -> Iterator[Array]:
    """Cut increasing call numbers where the gaps are wide or a block becomes too long."""
    start = 0
    for cut in [*(np.flatnonzero(np.diff(calls) > _GAP) + 1).tolist(), len(calls)]:
        while start < cut:
            end = int(np.searchsorted(calls, calls[start] + longest))
            yield calls[start : min(cut, end)]
            start = min(cut, end)


def calls_per_chunk(reader: RunReader, index: int) -> int:
    """Return the number of calls whose results take about 64 MB together."""
    for call in np.flatnonzero(reader.status == DONE).tolist():
        try:
            row = np.asarray(reader.value(call, index))
        except (MissingCallError, DamagedFileError, OSError):
            continue  # `missing="mask"` leaves such calls out
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
