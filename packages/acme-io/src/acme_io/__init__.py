"""acme-io: result files of parallel runs, complete or absent, read with only h5py and NumPy.

Reading starts at `open_results`, which takes a container, an output directory or a payload folder.
Programs that run calls on workers and store the results start at `acme_io.backend`.

Importing this package loads neither h5py nor NumPy; both are loaded on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from acme_io.__about__ import __version__

if TYPE_CHECKING:
    from acme_io.errors import AcmeIOError
    from acme_io.records.grid import Grid
    from acme_io.results.results import Results, open_results
    from acme_io.runs.call import Call
    from acme_io.storage.options import StorageOptions
    from acme_io.tools.report import write_report
    from acme_io.values.result_shape import Slots

__all__ = [
    "AcmeIOError",
    "Call",
    "Grid",
    "Results",
    "Slots",
    "StorageOptions",
    "__version__",
    "open_results",
    "write_report",
]

# Module of each public name, for imports on first use (PEP 562).
_HOMES = {
    "AcmeIOError": "errors",
    "Call": "runs.call",
    "Grid": "records.grid",
    "Results": "results.results",
    "Slots": "values.result_shape",
    "StorageOptions": "storage.options",
    "open_results": "results.results",
    "write_report": "tools.report",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
