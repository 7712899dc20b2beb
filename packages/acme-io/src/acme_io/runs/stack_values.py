"""Stack values that were read one call at a time."""

from typing import Any

import numpy as np

from acme_io.errors import MissingCallError

__all__ = ["stack_values"]

Array = np.ndarray[Any, Any]


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
