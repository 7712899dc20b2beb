"""How functions and values travel: cloudpickle, and what makes each call's arguments its own.

Functions of scripts and notebooks go by value. Open HDF5 files and datasets go by name and are
opened for reading where they arrive. Values that a call could change are kept as pickles, from
which every call gets a fresh object; values that nothing can change are passed as they are.
"""

from __future__ import annotations

import datetime
import decimal
import fractions
import functools
import io
import os
import pathlib
import pickle
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from typing import IO, Any, NamedTuple, NoReturn

import cloudpickle

from acme_core.arguments.lazy_types import is_array, is_h5py, loaded_types
from acme_core.transport.mapped_arrays import MappedArray, Save, is_mappable

_PLAIN = (
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
_SCALARS = (bool, int, float, complex, str, bytes, type(None))


class _Immutable(NamedTuple):
    """Types of values that nothing can change: exactly these, and these with their subclasses."""

    exact: frozenset[type]
    kinds: tuple[type, ...]


@functools.cache
def _immutable(numpy_loaded: bool) -> _Immutable:
    if not numpy_loaded:
        return _Immutable(frozenset(_SCALARS), _PLAIN)
    numpy = loaded_types("numpy", "generic", "dtype", "ufunc")
    return _Immutable(
        frozenset(_SCALARS + loaded_types("numpy", "float64", "int64")), _PLAIN + numpy
    )


def immutable_types() -> frozenset[type]:
    """Types whose very instances nothing can change; the shortest test."""
    return _immutable("numpy" in sys.modules).exact


def is_immutable(value: Any) -> bool:
    """Whether no call can change the value for another."""
    types_ = _immutable("numpy" in sys.modules)
    if type(value) in types_.exact:
        return True
    if isinstance(value, types_.kinds):
        return not isinstance(value, loaded_types("numpy", "void"))
    return type(value) in (tuple, frozenset) and all(map(is_immutable, value))


_reduce_code: Any = cloudpickle.Pickler.dispatch_table[types.CodeType]


def _reduced_code(code: types.CodeType) -> tuple[Any, ...]:
    """Reduce code as cloudpickle does, and keep the name of its file for tracebacks.

    Since version 3.1.3 cloudpickle puts "<dynamic-code>" in its place, so that the same function
    gives the same pickle wherever it was defined.
    """
    make, arguments = _reduce_code(code)
    return _code_of_file, (code.co_filename, make, arguments)


def _code_of_file(filename: str, make: Any, arguments: tuple[Any, ...]) -> types.CodeType:
    made: types.CodeType = make(*arguments).replace(co_filename=filename)
    return made


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc] # it has no types
    """cloudpickle, with HDF5 objects by name and what workers cannot import by value."""

    dispatch_table = cloudpickle.Pickler.dispatch_table | {types.CodeType: _reduced_code}

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self.by_value: list[types.ModuleType] = []

    def reducer_override(self, obj: Any) -> Any:
        if is_h5py(obj, "File", "Group", "Dataset"):
            return open_h5, (str(obj.file.filename), str(obj.name))
        if isinstance(obj, memoryview):  # cloudpickle would make bytes of it
            return _reduced_view(obj)
        if isinstance(obj, types.FunctionType | type):
            module = sys.modules.get(getattr(obj, "__module__", None) or "")
            if module is not None and not is_importable(module.__name__, tuple(sys.path)):
                self._register(module)
        return super().reducer_override(obj)

    def _register(self, module: types.ModuleType) -> None:
        if module.__name__ not in cloudpickle.list_registry_pickle_by_value():
            cloudpickle.register_pickle_by_value(module)
            self.by_value.append(module)


def dumps(value: Any) -> bytes:
    """Pickle a value for a worker (any error of pickle comes out as it is)."""
    with io.BytesIO() as file:
        pickler = _Pickler(file)
        try:
            pickler.dump(value)
        finally:
            for module in pickler.by_value:
                cloudpickle.unregister_pickle_by_value(module)
        return file.getvalue()


@functools.lru_cache(maxsize=4096)
def is_importable(name: str, sys_path: tuple[str, ...]) -> bool:
    """Whether a worker with this module search path finds the module that is loaded here.

    Modules that were loaded from a file by other means (as test runners and notebooks do) are
    not found, or another one of that name is.
    """
    module = sys.modules[name]
    filename = getattr(module, "__file__", None)
    if name == "__main__" or filename is None:  # cloudpickle knows; builtins
        return True
    try:
        spec = _find_spec(name)
    except (ImportError, AttributeError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        return False
    return os.path.realpath(spec.origin) == os.path.realpath(str(filename))


def _find_spec(name: str) -> ModuleSpec | None:
    """Search for a module as the first import of it would (importlib asks what is loaded)."""
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


loads = pickle.loads


def open_h5(filename: str, name: str) -> Any:
    """Open an HDF5 object for reading; its file is closed when the last object of it is gone."""
    import h5py

    file = h5py.File(filename, "r", locking=False)
    return file if name == "/" else file[name]


def _reduced_view(view: memoryview) -> tuple[Any, ...]:
    """Return what makes a memoryview of the same content, format and shape, writable or not."""
    content = view.tobytes() if view.readonly else bytearray(view.tobytes())
    parts = (content, view.format, view.shape)
    try:
        made = _view_of(*parts)
    except (TypeError, ValueError):
        made = None
    if made is not None and made.format == view.format:
        return _view_of, parts
    # `cast` knows the native formats of one letter; whatever else has a buffer, NumPy knows.
    import numpy as np

    return _view_of_array, (np.array(view, order="C"), view.readonly)


def _view_of(content: bytes | bytearray, format_: Any, shape: Any) -> memoryview[Any]:
    view: memoryview[Any] = memoryview(content)
    # A view without elements cannot be given a shape.
    return view.cast(format_) if len(shape) == 1 else view.cast(format_, shape)


def _view_of_array(array: Any, readonly: bool) -> memoryview:
    view = memoryview(array)
    return view.toreadonly() if readonly else view


@dataclass(frozen=True)
class Frozen:
    """A value that a call could change, as a pickle from which every call gets its own."""

    pickled: bytes | memoryview

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Let the pickle travel beside the one that this becomes part of, uncopied."""
        return Frozen, (pickle.PickleBuffer(self.pickled) if protocol >= 5 else self.pickled,)

    @property
    def nbytes(self) -> int:
        """Size of the pickle."""
        return len(self.pickled)

    def thaw(self) -> Any:
        """Make a fresh object."""
        return loads(self.pickled)


@dataclass(frozen=True)
class FrozenColumn:
    """Items of one distributed argument, each packed by itself."""

    packed: tuple[Frozen | MappedArray, ...]

    def __len__(self) -> int:
        return len(self.packed)

    def __iter__(self) -> Iterator[Any]:
        return (item.thaw() for item in self.packed)

    def __getitem__(self, part: slice) -> FrozenColumn:
        return FrozenColumn(self.packed[part])


def freeze(value: Any) -> Any:
    """Pack a shared value: itself where it is immutable, else `Frozen`."""
    if is_immutable(value) or is_h5py(value, "File", "Group", "Dataset"):
        return value
    return Frozen(dumps(value))


def freeze_result(call: int, value: Any) -> Any:
    """Pack what a call returned, as it is at this moment.

    Raises
    ------
    TypeError
        If the value cannot be pickled.
    """
    try:
        return freeze(value)
    except Exception as error:
        raise TypeError(
            f"call {call} returned a {type(value).__name__} that cannot be sent back from its "
            f"worker ({error}). Return numbers, text, arrays or other objects that can be pickled."
        ) from error


def freeze_column(items: Any, save: Save) -> Any:
    """Pack the items that a batch of calls gets of one distributed argument.

    Plain numbers, text and numeric arrays go as they are; of anything else every item is
    packed by itself, so that calls that were given the same object do not share it: large
    arrays in files, all else as pickles.

    Parameters
    ----------
    items : sequence
        The items.
    save : callable
        Writes an array to a file and returns its name.
    """
    if isinstance(items, range):
        return items
    if is_array(items) and not items.dtype.hasobject:
        # Rows of an array are views of one block; only whole arrays as items need it.
        return items
    if set(map(type, items)) <= immutable_types() or all(map(is_immutable, items)):
        return list(items)
    return FrozenColumn(tuple(_packed_item(item, save) for item in items))


def column_nbytes(column: Any) -> int:
    """Return about how many bytes a column takes on its way to a worker.

    Parameters
    ----------
    column : range, numpy.ndarray, list or FrozenColumn
        As `freeze_column` makes it.
    """
    if isinstance(column, range):
        return 0
    if is_array(column):
        nbytes: int = column.nbytes
        return nbytes
    if isinstance(column, FrozenColumn):
        return sum(item.nbytes for item in column.packed)
    if set(map(type, column)) <= immutable_types() - {str, bytes}:
        return sys.getsizeof(column)
    return sum(map(_size, column))


def _size(item: Any) -> int:
    if isinstance(item, tuple | frozenset):
        return sum(map(_size, item))
    return sys.getsizeof(item)


def _packed_item(item: Any, save: Save) -> Frozen | MappedArray:
    """Pack one item; one that cannot be pickled becomes the failure of its call."""
    if is_mappable(item):
        return MappedArray(item, save)
    try:
        return Frozen(dumps(item))
    except Exception as error:
        return Frozen(pickle.dumps(_Unsendable(f"{type(item).__name__}: {error}")))


class _Unsendable:
    def __init__(self, reason: str) -> None:
        self._reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return _refuse, (self._reason,)


def _refuse(reason: str) -> NoReturn:
    raise TypeError(
        f"an argument of this call cannot be sent to a worker ({reason}). "
        "Pass what it is made from instead, for example a file name, and make it in the function."
    )
