"""The values of other libraries, and the modules that encode and decode them.

A library is imported for values of its own only: types are told apart by the names of their
modules, and files by the kinds of their groups. If a library is missing where its values are read,
they come back as their members: arrays, and dicts of arrays.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from acme_io.errors import AcmeIOError, DamagedFileError, NotStorableError
from acme_io.values.encoded import Array, Encode, Form, Node

__all__ = ["decode_foreign", "decode_group", "encode_object"]

# Module of the package and function, by library and name of the type.
_ENCODERS: dict[tuple[str, str], tuple[str, str]] = {
    ("numpy", "MaskedArray"): ("masked", "encode_masked"),
    ("pandas", "DataFrame"): ("tabular.pandas_frames", "encode_frame"),
    ("pandas", "Series"): ("tabular.pandas_frames", "encode_series"),
    **{
        ("pandas", name): ("tabular.pandas_index", "encode_index")
        for name in (
            "CategoricalIndex",
            "DatetimeIndex",
            "Index",
            "IntervalIndex",
            "MultiIndex",
            "PeriodIndex",
            "RangeIndex",
            "TimedeltaIndex",
        )
    },
    ("xarray", "DataArray"): ("labelled", "encode_data_array"),
    ("xarray", "Dataset"): ("labelled", "encode_dataset"),
    **{
        ("pandas", name): ("tabular.pandas_scalars", "encode_scalar")
        for name in ("NAType", "NaTType", "Timedelta", "Timestamp")
    },
}

# Module and function, by kind of group.
_DECODERS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(("dict", "list", "tuple", "named_tuple", "columns"), ("nests", "decode_nest")),
    "masked": ("masked", "decode_masked"),
    "texts": ("texts", "decode_packed_texts"),
    "objects": ("tabular.object_columns", "decode_objects"),
    "frame": ("tabular.pandas_frames", "decode_frame"),
    "series": ("tabular.pandas_frames", "decode_series"),
    "index": ("tabular.pandas_index", "decode_index"),
    "multi_index": ("tabular.pandas_index", "decode_multi_index"),
    "nullable": ("tabular.pandas_columns", "decode_nullable"),
    "categorical": ("tabular.pandas_columns", "decode_categorical"),
    "intervals": ("tabular.pandas_columns", "decode_intervals"),
    "strings": ("tabular.pandas_columns", "decode_strings"),
    "data_array": ("labelled", "decode_data_array"),
    "dataset": ("labelled", "decode_dataset"),
    "level_coordinates": ("labelled", "decode_level_coordinates"),
    "variable": ("labelled", "decode_variable"),
}

# Datasets of other libraries by the heads of their forms.
_LEAVES = {
    "pandas": ("tabular.pandas_scalars", "decode_scalar"),
    "dates": ("tabular.pandas_columns", "decode_dates"),
    "periods": ("tabular.pandas_columns", "decode_periods"),
    "strings": ("tabular.pandas_columns", "decode_whole_strings"),
}

# Groups with one member that stands for the whole where the library is missing.
_ESSENCE = {"index": "values", "strings": "texts"}

_OPTIONAL = ("pandas", "xarray")


def encode_object(value: object, encode: Encode) -> Node:
    """Encode a value of a class of another library.

    Raises
    ------
    NotStorableError
        If the class is not known, or HDF5 cannot hold the value.
    """
    kind = type(value)
    found = _ENCODERS.get((kind.__module__.partition(".")[0], kind.__name__))
    if found is None:
        raise NotStorableError(
            f"HDF5 cannot hold a value of type {kind.__module__}.{kind.__name__}."
        )
    try:
        node: Node = _function(found)(value, encode)
    except NotStorableError:
        raise
    # The library's own code, on an object in whatever state: what it cannot do becomes a pickle.
    except Exception as error:
        raise NotStorableError(
            f"A value of type {kind.__module__}.{kind.__name__} could not be stored in HDF5: "
            f"{type(error).__name__}: {error}"
        ) from error
    return node


def decode_group(form: Mapping[str, Form], members: dict[str, Any]) -> Any:
    """Restore a value from the members of its group."""
    kind = form["kind"]
    if kind not in _DECODERS:
        raise DamagedFileError(f"A result is a group of the unknown kind {kind!r}.")
    decode = _function_if_installed(_DECODERS[kind])
    if decode is None:
        return members[_ESSENCE[kind]] if kind in _ESSENCE else members
    return _decoded(decode, kind, form, members)


def _decoded(decode: Callable[..., Any], what: str, *arguments: Any) -> Any:
    try:
        return decode(*arguments)
    except AcmeIOError:
        raise
    # The library's own code: another release may not know a frequency, a dtype or a time zone.
    except Exception as error:
        raise DamagedFileError(
            f"A result that is stored as {what!r} cannot be restored here: "
            f"{type(error).__name__}: {error}. Was it written with a later release of its library?"
        ) from error


def decode_foreign(array: Array | None, head: str, rest: list[Form]) -> Any:
    """Restore a value from its only dataset, whose form begins with `head`."""
    if head not in _LEAVES:
        raise DamagedFileError(f"A result has the unknown form {head!r}.")
    decode = _function_if_installed(_LEAVES[head])
    return array if decode is None else _decoded(decode, head, array, *rest)


def _function(place: tuple[str, str]) -> Callable[..., Any]:
    function: Callable[..., Any] = getattr(import_module(f"acme_io.values.{place[0]}"), place[1])
    return function


def _function_if_installed(place: tuple[str, str]) -> Callable[..., Any] | None:
    try:
        return _function(place)
    except ImportError as error:
        if (error.name or "").partition(".")[0] in _OPTIONAL:
            return None
        raise
