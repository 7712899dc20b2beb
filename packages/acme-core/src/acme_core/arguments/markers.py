"""How one argument reaches the calls: shared by all of them, or one item each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from acme_core.arguments.value_kinds import is_indexable


class Marked:
    """A value that the user marked by `each` or `shared`."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"{type(self).__name__}({type(self.value).__name__})"


class EachMark(Marked):
    """Made by `each`."""


class SharedMark(Marked):
    """Made by `shared`."""


def each(values: Iterable[Any]) -> Any:
    """Hand item ``i`` of ``values`` to call ``i``.

    Parameters
    ----------
    values : iterable
        A sequence, an array of any dimension (distributed along its first axis), an
        `h5py.Dataset`, a generator or any other iterable. With ``n_inputs`` given, a
        generator is read while the calls run, otherwise in the constructor of `ParallelMap`.

    Returns
    -------
    object
        The argument to pass to `ParallelMap`.

    Raises
    ------
    TypeError
        If ``values`` is not iterable, or already marked.

    Examples
    --------
    >>> import numpy as np
    >>> from acme_core import each
    >>> each(np.zeros((3, 100)))
    EachMark(ndarray)
    """
    if isinstance(values, Marked):
        raise TypeError("each(...): the value is already marked; use either each or shared.")
    try:
        # `is_indexable` accepts arrays and datasets of any dimension, also 0.
        if getattr(values, "shape", None) == ():
            raise TypeError
        if not is_indexable(values):
            iter(values)
    except TypeError:
        raise TypeError(
            f"each(...) needs an iterable, not {type(values).__name__}. "
            "To give every call the whole value, pass it without each(...), or use shared(...)."
        ) from None
    return EachMark(values)


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
        If the value is already marked by `each` or `shared`.

    Examples
    --------
    >>> from acme_core import shared
    >>> shared([1, 2, 3])
    SharedMark(list)
    """
    if isinstance(value, Marked):
        raise TypeError("shared(...): the value is already marked; use either each or shared.")
    return SharedMark(value)
