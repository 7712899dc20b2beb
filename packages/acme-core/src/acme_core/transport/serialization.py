"""How functions and values are pickled, and how each call gets its own arguments.

Functions of scripts and notebooks are pickled by value (cloudpickle). Open HDF5 files and datasets
are pickled by name and opened for reading on the worker. Mutable values are kept as pickles, from
which every call gets a new object; immutable values are passed directly.
"""

from __future__ import annotations

import functools
import io
import itertools
import os
import pickle
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.machinery import ModuleSpec
from typing import IO, Any, NoReturn

import cloudpickle

from acme_core.arguments.h5_arguments import unreadable_h5
from acme_core.arguments.lazy_types import is_array, is_h5py
from acme_core.transport.mapped_arrays import MappedArray, Save, is_mappable
from acme_core.transport.plain_values import (
    are_plain,
    as_array,
    flat_copier,
    immutable_types,
    is_immutable,
)


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc] # it has no types
    """cloudpickle, with HDF5 objects by name, and by value all that workers cannot import."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self.by_value: list[types.ModuleType] = []

    def reducer_override(self, obj: Any) -> Any:
        if is_h5py(obj, "File", "Group", "Dataset"):
            # Arguments are checked before the run, but not objects inside of them.
            if reason := unreadable_h5(obj):
                raise ValueError(f"The HDF5 object {obj!r} {reason}")
            return open_h5, (str(obj.file.filename), str(obj.name))
        if isinstance(obj, memoryview):  # cloudpickle would turn it into bytes
            return _reduced_view(obj)
        if isinstance(obj, types.CodeType):
            # cloudpickle 3.1.3 replaces the file name by "<dynamic-code>"; the tracebacks of calls
            # would then show neither file nor source line.
            make, arguments = self.dispatch_table[types.CodeType](obj)
            return _code_of_file, (obj.co_filename, make, arguments)
        if isinstance(obj, types.FunctionType | type):
            # cloudpickle pickles functions of imported modules by reference, unless the module is
            # registered.
            module = sys.modules.get(getattr(obj, "__module__", None) or "")
            if module is not None and not is_importable(module.__name__, tuple(sys.path)):
                self._register(module)
        return super().reducer_override(obj)

    def _register(self, module: types.ModuleType) -> None:
        if module.__name__ not in cloudpickle.list_registry_pickle_by_value():
            cloudpickle.register_pickle_by_value(module)
            self.by_value.append(module)


def dumps(value: Any) -> bytes:
    """Pickle a value for a worker; errors of pickle are raised unchanged."""
    with io.BytesIO() as file:
        pickler = _Pickler(file)
        try:
            pickler.dump(value)
        finally:
            # The registry is global; the user's own pickles must not change.
            for module in pickler.by_value:
                cloudpickle.unregister_pickle_by_value(module)
        return file.getvalue()


@functools.lru_cache(maxsize=4096)
def is_importable(name: str, sys_path: tuple[str, ...]) -> bool:
    """Whether a worker with this module search path would import the module loaded here.

    For a module that was loaded from a file by other means (as test runners do), an import finds
    nothing, or another module of that name.
    """
    module = sys.modules[name]
    filename = getattr(module, "__file__", None)
    # cloudpickle pickles `__main__` by value itself; a module without a file is built in.
    if name == "__main__" or filename is None:
        return True
    try:
        spec = _find_spec(name)
    except (ImportError, AttributeError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        return False
    return os.path.realpath(spec.origin) == os.path.realpath(str(filename))


def _find_spec(name: str) -> ModuleSpec | None:
    """Search for a module as its first import would.

    `importlib.util.find_spec` returns the spec of a loaded module without a search.
    """
    path, spec = None, None
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        full = ".".join(parts[:end])
        found = (finder.find_spec(full, path) for finder in sys.meta_path)
        spec = next((s for s in found if s is not None), None)
        if spec is None:
            return None
        path = spec.submodule_search_locations
    return spec


# cloudpickle's pickles need no other loader.
loads = pickle.loads


def open_h5(filename: str, name: str) -> Any:
    """Open an HDF5 object for reading; its file closes with the last object of it."""
    import h5py

    # Without locks: the client has the file open, and network file systems may have none.
    file = h5py.File(filename, "r", locking=False)
    return file if name == "/" else file[name]


def _code_of_file(
    filename: str, make: Callable[..., types.CodeType], arguments: tuple[Any, ...]
) -> types.CodeType:
    return make(*arguments).replace(co_filename=filename)


def _reduced_view(view: memoryview) -> tuple[Any, ...]:
    """Return a reducer for a memoryview with the same content, format, shape and writability."""
    content = view.tobytes() if view.readonly else bytearray(view.tobytes())
    parts = (content, view.format, view.shape)
    try:
        made = _view_of(*parts)
    except (TypeError, ValueError):
        made = None
    if made is not None and made.format == view.format:
        return _view_of, parts
    # `cast` takes native formats of one letter only; NumPy takes all others.
    import numpy as np

    return _view_of_array, (np.array(view, order="C"), view.readonly)


def _view_of(content: bytes | bytearray, format_: Any, shape: Any) -> memoryview[Any]:
    view: memoryview[Any] = memoryview(content)
    # `cast` refuses a shape with a zero, as views without elements have.
    return view.cast(format_) if len(shape) == 1 else view.cast(format_, shape)


def _view_of_array(array: Any, readonly: bool) -> memoryview:
    view = memoryview(array)
    return view.toreadonly() if readonly else view


# Bytes up to which a worker keeps one object of a frozen value to copy it for each call.
_LARGEST_ORIGINAL = 64 * 1024
# Bytes from which a pickle is left out of band, which saves a copy and costs a microsecond or two.
_OUT_OF_BAND_FROM = 64 * 1024


@dataclass(frozen=True)
class Frozen:
    """A mutable value as a pickle, from which every call gets a new object."""

    pickled: bytes | memoryview

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Keep the pickle out of band when this object is pickled, which saves a copy."""
        return Frozen, (pickle.PickleBuffer(self.pickled) if protocol >= 5 else self.pickled,)

    @property
    def nbytes(self) -> int:
        """Size of the pickle in bytes."""
        return len(self.pickled)

    def thaw(self) -> Any:
        """Return a new object."""
        return loads(self.pickled)

    def as_item(self) -> bytes | Frozen:
        """Return the form that travels fastest: the pickle itself unless it is large."""
        if self.nbytes < _OUT_OF_BAND_FROM and isinstance(self.pickled, bytes):
            return self.pickled
        return self

    def copies(self) -> Iterator[Any]:
        """Return an endless iterator of new objects, each made when it is asked for."""
        if self._copier is not None:
            return map(self._copier, itertools.repeat(self._original))
        return map(loads, itertools.repeat(self.pickled))

    @functools.cached_property
    def _original(self) -> Any:
        return self.thaw() if self.nbytes <= _LARGEST_ORIGINAL else None

    @functools.cached_property
    def _copier(self) -> Callable[[Any], Any] | None:
        return flat_copier(self._original)


Packed = bytes | Frozen | MappedArray
"""An item: its pickle, if that is large in a `Frozen`, or an array in a file."""


def unpacked(item: Packed) -> Any:
    """Return a new object from a packed item."""
    return loads(item) if isinstance(item, bytes) else item.thaw()


@dataclass(frozen=True)
class FrozenColumn:
    """Items of one distributed argument, each one packed separately."""

    packed: tuple[Packed, ...]

    def __len__(self) -> int:
        return len(self.packed)

    def __iter__(self) -> Iterator[Any]:
        return map(unpacked, self.packed)

    def __getitem__(self, part: slice) -> FrozenColumn:
        return FrozenColumn(self.packed[part])

    @property
    def nbytes(self) -> int:
        """Size of all items in bytes."""
        return sum(len(i) if isinstance(i, bytes) else i.nbytes for i in self.packed)

    @property
    def paths(self) -> Iterator[tuple[int, str]]:
        """Index and file of each item that has its own file."""
        for index, item in enumerate(self.packed):
            if isinstance(item, MappedArray):
                yield index, item.path


@dataclass(frozen=True)
class PlainColumn:
    """Plain items of one distributed argument: a part of those in one pickle.

    A pickle from the start, because the items are to arrive as they are now: what the batch of a
    retry would pickle later may have changed.
    """

    pickled: bytes
    n_pickled: int
    part: range

    @classmethod
    def of(cls, items: list[Any]) -> PlainColumn:
        """Return a column of these items."""
        pickled = pickle.dumps(items, pickle.HIGHEST_PROTOCOL)
        return cls(pickled, len(items), range(len(items)))

    def __len__(self) -> int:
        return len(self.part)

    def __iter__(self) -> Iterator[Any]:
        return iter(loads(self.pickled)[self.part.start : self.part.stop])

    def __getitem__(self, part: slice) -> PlainColumn:
        # The items are cut when the part is sent: most parts of a batch never are.
        return replace(self, part=self.part[part])

    def __reduce__(self) -> tuple[Any, ...]:
        if len(self.part) == self.n_pickled:
            return PlainColumn, (self.pickled, self.n_pickled, self.part)
        return PlainColumn.of, (list(self),)

    @property
    def nbytes(self) -> int:
        """Approximate size of these items in bytes."""
        return len(self.pickled) * len(self.part) // max(1, self.n_pickled)


def freeze(value: Any) -> Any:
    """Return an immutable value or an HDF5 object unchanged, anything else as `Frozen`."""
    if is_immutable(value) or is_h5py(value, "File", "Group", "Dataset"):
        return value
    if are_plain((value,)):
        return Frozen(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))
    return Frozen(dumps(value))


def freeze_result(call: int, value: Any) -> Any:
    """Pack the return value of a call in its present state.

    A list, a dict or a set of immutable items is copied, which takes less time than a pickle.

    Raises
    ------
    TypeError
        If the value cannot be pickled.
    """
    if type(value) in (list, dict, set) and (copier := flat_copier(value)) is not None:
        return copier(value)
    try:
        return freeze(value)
    except Exception as error:
        raise TypeError(
            f"call {call} returned a {type(value).__name__} that cannot be sent back from its "
            f"worker ({error}). Return numbers, text, arrays or other objects that can be pickled."
        ) from error


def freeze_column(items: Any, save: Save) -> Any:
    """Pack the items of one distributed argument for a batch of calls.

    Numbers, text and numeric arrays stay unchanged, and plain items go into one pickle. All others
    are packed one by one, large arrays in files and the rest as pickles: calls that get the same
    object do not share it.

    Parameters
    ----------
    items : sequence
        The items.
    save : callable
        Writes an array to a file and returns the file's name.
    """
    if isinstance(items, range):
        return items
    if is_array(items) and not items.dtype.hasobject:
        # Its rows are views of the copy that the batch unpickles; no other call sees them.
        return items
    items = list(items)
    if set(map(type, items)) <= immutable_types():
        return as_array(items)
    if are_plain(items):
        return PlainColumn.of(items)
    if all(map(is_immutable, items)):
        return items
    return FrozenColumn(tuple(pack_item(item, save) for item in items))


def column_nbytes(column: Any) -> int:
    """Return the approximate size of a frozen column as a message, in bytes."""
    if isinstance(column, range):
        return 0
    if hasattr(column, "nbytes"):  # an array, or a class for columns
        nbytes: int = column.nbytes
        return nbytes
    kinds = set(map(type, column))
    # A number takes about 8 bytes, pickled as in a list. Text is counted item by item.
    if kinds <= immutable_types() - {str, bytes}:
        return sys.getsizeof(column)
    return sum(map(sys.getsizeof if kinds <= immutable_types() else _size, column))


def _size(item: Any) -> int:
    if isinstance(item, tuple | frozenset):
        return sum(map(_size, item))
    return sys.getsizeof(item)


def pack_item(item: Any, save: Save) -> Packed:
    """Pack one item; one that cannot be pickled becomes the failure of its call."""
    if is_mappable(item):
        return MappedArray(item, save)
    try:
        return Frozen(dumps(item)).as_item()
    except Exception as error:
        return Frozen(pickle.dumps(_Unsendable(f"{type(item).__name__}: {error}"))).as_item()


class _Unsendable:
    """Unpickles to a `TypeError`, on the worker and within the call that has the argument."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return _refuse, (self._reason,)


def _refuse(reason: str) -> NoReturn:
    raise TypeError(
        f"an argument of this call cannot be sent to a worker ({reason}). "
        "Pass what it is made from instead, for example a file name, and create it in the function."
    )
