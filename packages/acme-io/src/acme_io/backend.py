"""The interface for programs that run calls on workers and store the results with acme-io.

acme-core is one such program. Everything below keeps its name and meaning within a major version;
apart from these and the names that `acme_io` exports, everything in this package may change at any
time.

::

    client                                        worker
    RunStore.create(...)                          import WORKER_MODULES
    store.sink             -- pickled -->         sink.open(calls) -> writer
    store.accept(receipt)  <-- BatchReceipt --    writer.put(report, value) ... writer.close()
    store.finish()

Like `acme_io`, this module loads h5py and NumPy on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acme_io.cli import main
    from acme_io.errors import FailedCallError
    from acme_io.layout import clean_name
    from acme_io.records.call_record import DONE, FAILED, MISSING, PICKLED, CallReport, Failure
    from acme_io.records.call_table import CallTable
    from acme_io.records.grid import Grid
    from acme_io.records.run_record import RunInfo
    from acme_io.records.summaries import describe
    from acme_io.runs.finished import Finished, finished_calls
    from acme_io.runs.output_dir import check_output_dir
    from acme_io.runs.store import RunStore
    from acme_io.storage.sink import BatchReceipt, Sink
    from acme_io.tools.folder_check import examine

__all__ = [
    "DONE",
    "FAILED",
    "MISSING",
    "PICKLED",
    "WORKER_MODULES",
    "BatchReceipt",
    "CallReport",
    "CallTable",
    "FailedCallError",
    "Failure",
    "Finished",
    "Grid",
    "RunInfo",
    "RunStore",
    "Sink",
    "check_output_dir",
    "clean_name",
    "describe",
    "examine",
    "finished_calls",
    "main",
]

WORKER_MODULES = tuple(
    f"{__package__}.{name}"
    for name in (
        "hdf5.run_file",
        "hdf5.templates.writing",
        "storage.batch_writer",
        "storage.sink",
        "values.encoding",
    )
)
"""Modules that a worker needs for its first call; a fork server imports them once for all."""

# Module of each name, for imports on first use (PEP 562).
_HOMES = {
    "DONE": "records.call_record",
    "FAILED": "records.call_record",
    "MISSING": "records.call_record",
    "PICKLED": "records.call_record",
    "BatchReceipt": "storage.sink",
    "CallReport": "records.call_record",
    "CallTable": "records.call_table",
    "FailedCallError": "errors",
    "Failure": "records.call_record",
    "Finished": "runs.finished",
    "Grid": "records.grid",
    "RunInfo": "records.run_record",
    "RunStore": "runs.store",
    "Sink": "storage.sink",
    "check_output_dir": "runs.output_dir",
    "clean_name": "layout",
    "describe": "records.summaries",
    "examine": "tools.folder_check",
    "finished_calls": "runs.finished",
    "main": "cli",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__package__}.{_HOMES[name]}"), name)
    # Later accesses find the name without this function.
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
