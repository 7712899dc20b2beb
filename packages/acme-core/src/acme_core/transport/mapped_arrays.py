"""Large arrays: written to a file once, mapped by all workers of a machine.

The pages are shared for as long as nobody writes to them; a call that changes the array gets
private copies of the pages it changes (copy on write). After such a call the worker maps the
file anew, so that the next call sees the array as it was given.

Whether a call has changed anything is read from ``/proc/self/pagemap``: a page that is present
but no longer backed by the file is a private copy (bits 61 to 63, see
Documentation/admin-guide/mm/pagemap.rst of Linux). No page can become one without a page fault,
which the kernel counts, so that calls without any are not looked into.
"""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from acme_core.arguments.lazy_types import loaded_types

if TYPE_CHECKING:
    import numpy as np

Save = Callable[["np.ndarray[Any, Any]"], str]
"""Writes a contiguous array to a file and returns the file's name."""

MAP_FROM = 1_000_000
"""Bytes from which on an array goes to a file of its own."""

_PRESENT_OR_SWAPPED = 0b11 << 62
_OF_FILE = 1 << 61


def is_mappable(value: Any) -> bool:
    """Whether a value is worth a file of its own."""
    if type(value) not in loaded_types("numpy", "ndarray"):
        return False
    return bool(value.nbytes >= MAP_FROM and not value.dtype.hasobject)


class MappedArray:
    """An array in a file, as every call gets it.

    Parameters
    ----------
    array : numpy.ndarray
        Any shape and dtype without objects.
    save : callable
        Writes a contiguous array to a file and returns its name.
    """

    def __init__(self, array: np.ndarray[Any, Any], save: Save) -> None:
        import numpy as np

        self._order: Any = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
        self._shape, self._dtype = array.shape, array.dtype
        flat = array.T if self._order == "F" else array
        self.path = save(np.ascontiguousarray(flat))
        self._map: np.ndarray[Any, Any] | None = None
        self._faults = -1

    @property
    def nbytes(self) -> int:
        """Size of the array."""
        size: int = math.prod(self._shape) * self._dtype.itemsize
        return size

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_map": None, "_faults": -1}

    def thaw(self) -> np.ndarray[Any, Any]:
        """Return the array as it was given, for one call."""
        faults = _page_faults()
        import numpy as np

        if self._map is None or (faults != self._faults and _has_private_pages(self._map)):
            raw = np.memmap(self.path, np.uint8, mode="c")
            self._map = raw.view(np.ndarray)
        self._faults = _page_faults()
        typed: np.ndarray[Any, Any] = self._map.view(self._dtype)
        return typed.reshape(self._shape, order=self._order)


def _page_faults() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return -2
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def _has_private_pages(mapped: np.ndarray[Any, Any]) -> bool:
    """Whether a page of a private mapping was written to; yes where that cannot be told."""
    import numpy as np

    page = mmap.PAGESIZE
    first = mapped.ctypes.data // page
    last = (mapped.ctypes.data + mapped.nbytes - 1) // page
    try:
        with open("/proc/self/pagemap", "rb", buffering=0) as file:
            entries = os.pread(file.fileno(), 8 * (last - first + 1), 8 * first)
    except OSError:
        return True
    if len(entries) != 8 * (last - first + 1):
        return True
    bits = np.frombuffer(entries, np.uint64)
    there = (bits & np.uint64(_PRESENT_OR_SWAPPED)).astype(bool)
    of_file = (bits & np.uint64(_OF_FILE)).astype(bool)
    return bool(np.any(there & ~of_file))
