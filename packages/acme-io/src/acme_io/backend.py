"""The interface for programs that run calls on workers and store the results with acme-io.

acme-core is one such program. Everything below keeps its name and meaning within a major version;
every other module of this package, apart from what `acme_io` itself exports, may move at any time.

::

    client                                        worker
    RunStore.create(...)                          WORKER_MODULES are imported
    store.sink             -- pickled -->         sink.open(calls) -> writer
    store.accept(receipt)  <-- BatchReceipt --    writer.put(report, value) ... writer.close()
    store.finish(CallTable)

Like `acme_io` itself, this module loads h5py and NumPy on first use only.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cli import main
    from .describe import describe
    from .doctor import examine
    from .layout import clean_name
    from .outdir import check_output_dir
    from .record import (
        DONE,
        FAILED,
        MISSING,
        PICKLED,
        CallReport,
        CallTable,
        Failure,
        RunInfo,
    )
    from .scan import finished_calls
    from .sinks import BatchReceipt, Sink
    from .store import RunStore

__all__ = [
    "DONE",
    "FAILED",
    "MISSING",
    "PICKLED",
    "WORKER_MODULES",
    "BatchReceipt",
    "CallReport",
    "CallTable",
    "Failure",
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
    f"{__package__}.{name}" for name in ("batch_sinks", "encoding", "payload", "sinks", "templates")
)
"""Modules that a worker needs for its first call; a fork server imports them once for all."""

_HOMES = {
    "DONE": "record",
    "FAILED": "record",
    "MISSING": "record",
    "PICKLED": "record",
    "BatchReceipt": "sinks",
    "CallReport": "record",
    "CallTable": "record",
    "Failure": "record",
    "RunInfo": "record",
    "RunStore": "store",
    "Sink": "sinks",
    "check_output_dir": "outdir",
    "clean_name": "layout",
    "describe": "describe",
    "examine": "doctor",
    "finished_calls": "scan",
    "main": "cli",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__package__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
