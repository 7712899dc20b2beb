"""The grid of a run whose calls are all combinations of some arguments, and its form in JSON.

Every file of a run carries the run's record, so the grid's form in it is short: a range and evenly
spaced numbers are stored by their ends, and a long axis of other values by its length alone: its
values are in the records of the calls.
"""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from acme_io.records.short_text import short_text

__all__ = ["Grid", "grid_from_facts", "grid_to_facts"]

# Characters of JSON up to which the values of an axis are listed. There may be a file per call, and
# each has the run's record: with 40 000 calls, one kilobyte is 40 MB.
_LONGEST = 1000


@dataclass(frozen=True, eq=False)
class Grid:
    """The axes of a run whose calls are all combinations of some arguments.

    Calls are numbered in the order of `itertools.product`: the last axis varies fastest.

    Attributes
    ----------
    names : tuple of str
        The parameters of the function, one per axis.
    values : tuple of sequence
        The values of each axis. In a grid that was read back, values are numbers, texts, `None` or
        elements of a NumPy array; other objects became their short text.

    Examples
    --------
    >>> from acme_io import Grid
    >>> Grid(("base", "exponent"), ([0, 1, 2], [-1, 2])).shape
    (3, 2)
    """

    names: tuple[str, ...]
    values: tuple[Any, ...]  # a NumPy array is no `Sequence` for type checkers

    def __post_init__(self) -> None:
        """Raise `ValueError` unless each axis has a name of its own."""
        if len(self.names) != len(self.values) or len(set(self.names)) != len(self.names):
            raise ValueError(
                f"A grid has one name per axis, all different, not {list(self.names)} for "
                f"{len(self.values)} axes."
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values on each axis."""
        return tuple(map(len, self.values))

    def __eq__(self, other: object) -> bool:
        """Whether names and values are equal; an array equals the list of its elements."""
        if not isinstance(other, Grid):
            return NotImplemented
        pairs = zip(self.values, other.values, strict=False)
        return self.names == other.names and all(list(a) == list(b) for a, b in pairs)

    __hash__ = None  # type: ignore[assignment]  # axes may be lists


def grid_to_facts(grid: Grid) -> dict[str, Any]:
    """Return a grid in a form for JSON."""
    return {"names": list(grid.names), "axes": [_axis_to_facts(axis) for axis in grid.values]}


def grid_from_facts(facts: Mapping[str, Any]) -> Grid:
    """Return the grid that `grid_to_facts` wrote.

    An axis that is on record with its length alone is a list of `None`.
    """
    return Grid(tuple(facts["names"]), tuple(_axis_from_facts(axis) for axis in facts["axes"]))


def _axis_to_facts(axis: Any) -> dict[str, Any]:
    if isinstance(axis, range):
        return {"range": [axis.start, axis.stop, axis.step]}
    array = _as_array(axis)
    if array is not None and array.ndim == 1 and array.dtype.kind in "biufcmMU":
        return _array_to_facts(array)
    return _listed({"values": [_item(value) for value in axis]}, len(axis))


def _as_array(axis: Any) -> Any:
    """Return the axis as an array if it is one, or if its values need a dtype; else None."""
    if hasattr(axis, "to_numpy"):
        return axis.to_numpy()
    kinds = set(map(type, axis)) if type(axis) in (list, tuple) else {type(axis)}
    kind = kinds.pop() if len(kinds) == 1 else object
    # A client that passes lists has not loaded NumPy yet: then no value is NumPy's.
    numpy = sys.modules.get("numpy")
    if numpy is not None and issubclass(kind, (numpy.ndarray, numpy.generic)):
        return numpy.asarray(axis)
    if kind is float and not all(map(math.isfinite, axis)):
        import numpy as np

        return np.asarray(axis)
    return None


def _array_to_facts(array: Any) -> dict[str, Any]:
    import numpy as np

    kind, facts = array.dtype.kind, {"dtype": array.dtype.str}
    if kind in "iuf" and len(array) > 2:
        ends = [array[0].item(), array[-1].item(), len(array)]
        # The same steps on every machine, so equal here is equal there. Ends may be infinite.
        with np.errstate(all="ignore"):
            if bool((np.linspace(*ends, dtype=array.dtype) == array).all()):
                return {**facts, "linspace": ends}
    # As text where JSON has no such number: NaN, infinity, dates, more than 64 bits.
    plain = kind in "biuU" or (kind == "f" and array.itemsize <= 8 and np.isfinite(array).all())
    return _listed(
        {**facts, "values": (array if plain else array.astype(str)).tolist()}, len(array)
    )


def _item(value: object) -> object:
    """Return a value itself if JSON holds it exactly, else its short text."""
    return value if type(value) in (int, float, bool, str, type(None)) else short_text(value)


def _listed(facts: dict[str, Any], length: int) -> dict[str, Any]:
    text = "".join(map(repr, facts["values"][:_LONGEST]))
    return {"length": length} if len(text) + 2 * length > _LONGEST else facts


def _axis_from_facts(facts: Mapping[str, Any]) -> Any:
    if "range" in facts:
        return range(*facts["range"])
    if "dtype" in facts:
        import numpy as np

        if "linspace" in facts:
            return np.linspace(*facts["linspace"], dtype=facts["dtype"])
        return np.array(facts["values"]).astype(facts["dtype"])
    return facts["values"] if "values" in facts else [None] * facts["length"]
