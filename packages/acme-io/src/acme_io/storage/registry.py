"""The registry: the way of storing a run uses, and the layout a container was written in.

To add a way, write a sub-package with a `Way` and add it here.
"""

from acme_io.storage.options import StorageOptions
from acme_io.storage.per_call.way import PerCall
from acme_io.storage.pickles.way import Pickles
from acme_io.storage.single_file.way import SingleFile
from acme_io.storage.stacked.way import Stacked, StackedSingleFile
from acme_io.storage.uniform.way import Uniform
from acme_io.storage.way import Layout, Way

__all__ = ["layout_named", "way_for"]

_PER_CALL, _PICKLES, _SINGLE_FILE = PerCall(), Pickles(), SingleFile()
_STACKED, _STACKED_SINGLE_FILE = Stacked(), StackedSingleFile()

# One entry for both stacked ways: their containers differ in the attribute `sources` only, which
# the source looks at. `Uniform` has no options: `merge` alone writes it.
_LAYOUTS: dict[str, Layout] = {
    one.layout: one for one in (_PER_CALL, _PICKLES, _SINGLE_FILE, _STACKED, Uniform())
}


def way_for(options: StorageOptions) -> Way:
    """Return the way of storing for these options."""
    if options.pickle:
        return _PICKLES
    if options.slots is not None:
        return _STACKED_SINGLE_FILE if options.single_file else _STACKED
    return _SINGLE_FILE if options.single_file else _PER_CALL


def layout_named(name: str) -> Layout | None:
    """Return the layout of this name, None if this version does not know it."""
    return _LAYOUTS.get(name)
