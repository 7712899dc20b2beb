"""acme-io: result files of parallel runs, written whole and read with h5py and NumPy alone.

Reading starts at `open_results`, which takes a container, an output directory or a payload folder.
Writing is for programs that run calls on workers: `acme_io.store.RunStore` on the client and the
sinks of `acme_io.sinks` on the workers.

Importing this package loads neither h5py nor NumPy; both are loaded on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .__about__ import __version__

if TYPE_CHECKING:
    from .errors import AcmeIOError
    from .options import StorageOptions
    from .reader import Call, Results, open_results
    from .report import write_report
    from .slots import Slots

__all__ = [
    "AcmeIOError",
    "Call",
    "Results",
    "Slots",
    "StorageOptions",
    "__version__",
    "open_results",
    "write_report",
]

_HOMES = {
    "AcmeIOError": "errors",
    "Call": "reader",
    "Results": "reader",
    "Slots": "slots",
    "StorageOptions": "options",
    "open_results": "reader",
    "write_report": "report",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
