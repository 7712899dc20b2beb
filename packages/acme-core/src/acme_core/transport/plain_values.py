"""Which values are immutable, and which consist of built-in containers, numbers, text and arrays.

Such *plain* values are what most arguments and results are. The C pickler writes them without
cloudpickle's hooks, which are Python functions, and flat ones are copied without a pickle. All
checks look at types by ``set(map(type, ...))``: 20 ns an item, a test in Python takes a
microsecond.
"""

from __future__ import annotations

import datetime
import decimal
import fractions
import functools
import itertools
import pathlib
import sys
import types
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, NamedTuple

from acme_core.arguments.lazy_types import loaded_types

# Immutable types, with their subclasses. Functions, classes and modules can be changed in
# principle; calls on one worker share them, as they do in any program.
_KINDS = (
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    range,
    type(None),
    type(...),
    datetime.date,
    datetime.time,
    datetime.timedelta,
    datetime.tzinfo,
    decimal.Decimal,
    fractions.Fraction,
    pathlib.PurePath,
    type,
    types.ModuleType,
    types.FunctionType,
    types.BuiltinFunctionType,
)
# The types that most arguments have. Their subclasses may add attributes, which can be changed.
_SCALARS = (bool, int, float, complex, str, bytes, type(None))
_NUMPY_SCALARS = (
    *("bool_", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
)

LARGEST_PLAIN_ARRAY = 16 * 1024
"""Bytes of an array up to which it is plain; copying larger ones takes longer than any hook."""

_DEEPEST = 8
_MOST_CONTAINERS = 1_000_000


class _Immutable(NamedTuple):
    """Immutable types: those that count exactly, and those that count with their subclasses."""

    exact: frozenset[type]
    numpy_scalars: frozenset[type]
    kinds: tuple[type, ...]


# Cached for both states, because NumPy may be imported after the first question.
@functools.cache
def _immutable(numpy_loaded: bool) -> _Immutable:
    if not numpy_loaded:
        return _Immutable(frozenset(_SCALARS), frozenset(), _KINDS)
    scalars = loaded_types("numpy", *_NUMPY_SCALARS)
    return _Immutable(
        frozenset(_SCALARS + scalars),
        frozenset(scalars),
        _KINDS + loaded_types("numpy", "generic", "dtype", "ufunc"),
    )


def immutable_types() -> frozenset[type]:
    """Return the immutable types that most values have; testing for them is fastest."""
    return _immutable("numpy" in sys.modules).exact


def is_immutable(value: Any) -> bool:
    """Whether no call can change the value for another call."""
    types_ = _immutable("numpy" in sys.modules)
    if type(value) in types_.exact:
        return True
    if isinstance(value, types_.kinds):
        # Fields of `numpy.void`, a record, can be assigned; all other NumPy scalars are immutable.
        return not isinstance(value, loaded_types("numpy", "void"))
    return type(value) in (tuple, frozenset) and all(map(is_immutable, value))


def numpy_scalar_type(values: Iterable[Any]) -> type | None:
    """Return the one numeric NumPy type that all values have, if they do.

    An array of that type holds exactly these values. It is pickled as one block, whereas the
    pickle of each scalar takes a microsecond or more.
    """
    found = set(map(type, values))
    if len(found) != 1 or not found <= _immutable("numpy" in sys.modules).numpy_scalars:
        return None
    return found.pop()


def as_array(values: list[Any]) -> Any:
    """Return NumPy scalars of one type as an array of that type, all other values unchanged."""
    kind = numpy_scalar_type(values)
    if kind is None:
        return values
    import numpy as np

    return np.array(values, kind)


def are_plain(values: Collection[Any]) -> bool:
    """Whether all values are plain, and no mutable object occurs in them twice.

    One pickle of all such values is as good as a pickle of each: unpickled, they share nothing
    that can be changed.
    """
    leaves = immutable_types()
    arrays = loaded_types("numpy", "ndarray")
    mutable: list[int] = []
    n_containers = 0
    level: Iterable[Any] = values
    if set(map(type, level)) <= leaves:
        return True
    for _ in range(_DEEPEST):
        # Level by level: all values, all their items, all items of those.
        containers = [value for value in level if type(value) not in leaves]
        n_containers += len(containers)
        by_type = dict.fromkeys(set(map(type, containers)), containers)
        if len(by_type) > 1:
            by_type = {k: [value for value in containers if type(value) is k] for k in by_type}
        inner: list[Callable[[], Iterator[Any]]] = []
        for kind, group in by_type.items():
            if kind in arrays:
                if any(a.dtype.hasobject or a.nbytes > LARGEST_PLAIN_ARRAY for a in group):
                    return False
            elif kind in (list, tuple, dict, set, frozenset):
                inner.append(functools.partial(itertools.chain.from_iterable, group))
                if kind is dict:
                    inner.append(functools.partial(_dict_values, group))
            else:
                return False
            if kind not in (tuple, frozenset):
                mutable += map(id, group)
        # Not a list of all items: there may be many numbers in few containers.
        if all(set(map(type, items())) <= leaves for items in inner):
            return len(set(mutable)) == len(mutable)
        # A tuple of tuples of tuples ... may hold the same ones again and again.
        if n_containers > _MOST_CONTAINERS:
            return False
        level = itertools.chain.from_iterable(items() for items in inner)
    return False


def _dict_values(dicts: Iterable[dict[Any, Any]]) -> Iterator[Any]:
    return itertools.chain.from_iterable(map(dict.values, dicts))


def flat_copier(value: Any) -> Callable[[Any], Any] | None:
    """Return the function that copies a mutable value of immutable items, else `None`.

    The copy is what unpickling returns, in a tenth of the time.
    """
    kind, leaves = type(value), immutable_types()
    if kind is list or kind is set:
        return kind.copy if leaves.issuperset(map(type, value)) else None
    if kind is dict:
        flat = leaves.issuperset(map(type, value)) and leaves.issuperset(map(type, value.values()))
        return dict.copy if flat else None
    if kind in loaded_types("numpy", "ndarray") and not value.dtype.hasobject:
        # A pickle keeps arrays read-only and restores the strides of empty ones; a copy does not.
        if not value.flags.writeable or not value.size:
            return None
        # Unlike the method `copy`, this keeps the memory order.
        copier: Callable[[Any], Any] = kind.__copy__
        return copier
    return None
