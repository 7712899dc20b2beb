"""Large arrays: written to a file once, mapped by all workers of a machine.

The workers share the pages until one writes to them; a call that changes the array gets private
copies of these pages (copy on write). After such a call the worker maps the file again, and the
next call sees the array as it was given.

Whether a call changed anything is read from ``/proc/self/pagemap``: a page that is present but no
longer backed by the file is a private copy (bits 61 to 63, see
Documentation/admin-guide/mm/pagemap.rst of Linux). A private copy needs a page fault, which the
kernel counts, so the page map is read only after calls with page faults.
"""

from __future__ import annotations

import itertools
import math
import mmap
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from acme_core.arguments.lazy_types import loaded_types

if TYPE_CHECKING:
    import numpy as np

Save = Callable[["np.ndarray[Any, Any]"], str]
"""Write a contiguous array to a file and return the file's name."""

MAP_FROM = 1_000_000
"""Size in bytes from which an array gets its own file."""

# Bits of an entry in the page map: present or swapped out; backed by a file or shared memory.
_PRESENT_OR_SWAPPED = 0b11 << 62
_FILE_BACKED = 1 << 61


def is_mappable(value: Any) -> bool:
    """Whether a value is an array that gets its own file."""
    # Exactly `ndarray`: a subclass may hold more than its data.
    if type(value) not in loaded_types("numpy", "ndarray"):
        return False
    return bool(value.nbytes >= MAP_FROM and not value.dtype.hasobject)


class MappedArray:
    """An array in a file that every call gets unchanged.

    Parameters
    ----------
    array : numpy.ndarray
        Any shape, any dtype without objects.
    save : callable
        Writes a contiguous array to a file and returns the file's name.
    """

    def __init__(self, array: np.ndarray[Any, Any], save: Save) -> None:
        import numpy as np

        # Calls get the memory order that the user chose: it decides which loops are fast.
        self._order: Any = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
        self._shape, self._dtype = array.shape, array.dtype
        flat = array.T if self._order == "F" else array
        self.path = save(np.ascontiguousarray(flat))
        self._map: np.ndarray[Any, Any] | None = None
        self._faults = -1

    @property
    def nbytes(self) -> int:
        """Size of the array in bytes."""
        size: int = math.prod(self._shape) * self._dtype.itemsize
        return size

    def __getstate__(self) -> dict[str, Any]:
        # A mapping belongs to one process; only the file's name travels.
        return self.__dict__ | {"_map": None, "_faults": -1}

    def thaw(self) -> np.ndarray[Any, Any]:
        """Return the array as it was given, for one call."""
        # Counted first: the import and the mapping below cause page faults themselves.
        faults = _page_faults()
        import numpy as np

        if self._map is None or (faults != self._faults and _has_private_pages(self._map)):
            # mode="c" maps privately (MAP_PRIVATE). Calls get a plain array: some code treats the
            # subclass `memmap` differently.
            raw = np.memmap(self.path, np.uint8, mode="c")
            self._map = raw.view(np.ndarray)
        self._faults = _page_faults()
        typed: np.ndarray[Any, Any] = self._map.view(self._dtype)
        return typed.reshape(self._shape, order=self._order)

    def copies(self) -> Iterator[np.ndarray[Any, Any]]:
        """Return an endless iterator of the array as it was given, each for one call."""
        return map(MappedArray.thaw, itertools.repeat(self))


def _page_faults() -> int:
    try:
        import resource
    except ImportError:  # Windows: differs from every stored count, so the array is mapped again
        return -2
    # Minor faults: copying a page that is already in memory needs no disk access.
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def _has_private_pages(mapped: np.ndarray[Any, Any]) -> bool:
    """Whether a page of a private mapping was written to; `True` if the kernel does not tell."""
    import numpy as np

    page = mmap.PAGESIZE
    first = mapped.ctypes.data // page
    last = (mapped.ctypes.data + mapped.nbytes - 1) // page
    try:
        with open("/proc/self/pagemap", "rb", buffering=0) as file:
            # One entry of 8 bytes per page: 0.4 MB for an array of 200 MB.
            entries = os.pread(file.fileno(), 8 * (last - first + 1), 8 * first)
    except OSError:
        return True
    if len(entries) != 8 * (last - first + 1):
        return True
    bits = np.frombuffer(entries, np.uint64)
    present = (bits & np.uint64(_PRESENT_OR_SWAPPED)).astype(bool)
    file_backed = (bits & np.uint64(_FILE_BACKED)).astype(bool)
    return bool(np.any(present & ~file_backed))
