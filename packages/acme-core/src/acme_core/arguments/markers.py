"""How one argument reaches the calls: shared by all, one item each, or in all combinations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from acme_core.arguments.lazy_types import is_frame
from acme_core.arguments.value_kinds import is_indexable


class Marked:
    """A value that the user marked by `each`, `cross` or `shared`."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"{type(self).__name__}({type(self.value).__name__})"


class EachMark(Marked):
    """Made by `each`."""


class SharedMark(Marked):
    """Made by `shared`."""


class CrossMark(Marked):
    """Made by `cross`."""


def each(values: Iterable[Any]) -> Any:
    """Hand item ``i`` of ``values`` to call ``i``.

    Parameters
    ----------
    values : iterable
        A sequence, an array of any dimension (distributed along its first axis), an
        `h5py.Dataset`, a pandas `Series` or `Index` (its values, as ``list(values)`` gives them), a
        pandas `DataFrame` (its rows, each a named tuple as ``values.itertuples()`` gives it), a
        generator or any other iterable. With ``n_inputs`` given, a generator is read while the
        calls run, otherwise in the constructor of `ParallelMap`.

    Returns
    -------
    object
        The argument to pass to `ParallelMap`.

    Raises
    ------
    TypeError
        If ``values`` is not iterable, a dict or a set, or already marked.

    See Also
    --------
    cross : Call the function for all combinations of some arguments.
    shared : Hand all of a value to every call.

    Examples
    --------
    >>> import numpy as np
    >>> from acme_core import each
    >>> each(np.zeros((3, 100)))
    EachMark(ndarray)
    """
    return EachMark(_checked(values, "each"))


def cross(values: Iterable[Any]) -> Any:
    """Call the function for all combinations of these values and those of other crossed arguments.

    Calls are numbered as `itertools.product` orders the combinations: the arguments count in the
    order in which they are passed to `ParallelMap`, positional ones first, and the last one varies
    fastest. All other arguments are shared, lists as well: while some arguments are crossed, none
    is distributed item by item.

    Parameters
    ----------
    values : iterable
        Anything that `each` accepts. A generator is read at once.

    Returns
    -------
    object
        The argument to pass to `ParallelMap`.

    Raises
    ------
    TypeError
        If ``values`` is not iterable, a dict or a set, or already marked.

    See Also
    --------
    each : Hand one item to each call.
    shared : Hand all of a value to every call.

    Examples
    --------
    >>> from acme_core import ParallelMap, cross
    >>> def power(base, exponent):
    ...     return base**exponent
    >>> with ParallelMap(
    ...     power, cross([2, 3, 4]), cross([1, 2]), write_worker_results=False, verbose=False
    ... ) as pmap:
    ...     pmap.compute()
    [2, 4, 3, 9, 4, 16]
    """
    checked = _checked(values, "cross")
    if is_frame(checked):  # few rows: an axis is short
        checked = list(checked.itertuples())
    return CrossMark(checked if is_indexable(checked) else list(checked))


def shared(value: Any) -> Any:
    """Hand all of ``value`` to every call.

    Parameters
    ----------
    value : object
        Anything that can be pickled.

    Returns
    -------
    object
        The argument to pass to `ParallelMap`.

    Raises
    ------
    TypeError
        If the value is already marked by `each`, `cross` or `shared`.

    Examples
    --------
    >>> from acme_core import shared
    >>> shared([1, 2, 3])
    SharedMark(list)
    """
    _refuse_marked(value, "shared")
    return SharedMark(value)


def _checked(values: Any, mark: str) -> Any:
    """Return values that have items, or raise `TypeError`."""
    _refuse_marked(values, mark)
    kind = type(values).__name__
    if isinstance(values, Mapping):
        raise TypeError(
            f"{mark}(...) needs items in order, and a {kind} has keys and values. Write "
            f"{mark}(d.items()) for pairs of key and value, {mark}(d.values()) for the values, or "
            f"{mark}(list(d)) for the keys."
        )
    if isinstance(values, set | frozenset):
        raise TypeError(
            f"{mark}(...) needs items in order, and a {kind} has no order. Write "
            f"{mark}(sorted(s)), or {mark}(list(s)) if any order will do."
        )
    try:
        # `is_indexable` accepts arrays and datasets of any dimension, also 0.
        if getattr(values, "shape", None) == ():
            raise TypeError
        if not is_indexable(values):
            iter(values)
    except TypeError:
        raise TypeError(
            f"{mark}(...) needs an iterable, not {kind}. "
            f"To give every call the whole value, pass it without {mark}(...), or use shared(...)."
        ) from None
    return values


def _refuse_marked(value: Any, mark: str) -> None:
    if isinstance(value, Marked):
        raise TypeError(
            f"{mark}(...): the value is already marked; use one of each, cross and shared."
        )
