"""HDF5 objects among the arguments: they travel by name, and workers open them for reading."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from acme_core.arguments.lazy_types import is_h5py, loaded_types

H5_KINDS = ("File", "Group", "Dataset")
"""Classes of h5py whose objects travel by name."""


def h5_objects(value: Any) -> Sequence[Any]:
    """Return the HDF5 objects among a value and, of a list or tuple, its items."""
    items = value if isinstance(value, list | tuple) else (value,)
    kinds = loaded_types("h5py", *H5_KINDS)
    # The set of types of a million items takes 20 ms, a test of each item a second.
    if not kinds or not any(issubclass(kind, kinds) for kind in set(map(type, items))):
        return ()
    return [item for item in items if isinstance(item, kinds)]


def unreadable_h5(value: Any) -> str | None:
    """Return the reason a worker cannot open this HDF5 object for reading, or `None`."""
    if not is_h5py(value, *H5_KINDS):
        return None
    if not value:  # h5py objects are false when closed
        return "is closed. Open its file again for reading."
    file = value.file
    if file.driver == "core":
        return "exists in memory only. Save it to a file, and pass that opened for reading."
    # A file that is open for writing may be inconsistent on disk, and HDF5 may refuse to open it.
    if file.mode != "r":
        return 'is open for writing. Close it, and pass it opened with h5py.File(..., "r").'
    return None
