"""One pickle per call, and a record beside them: the way, and the sink on the worker.

The finisher and the source are in `record`, which imports h5py. Neither this module nor a worker
that writes pickles needs it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from acme_io.records.call_record import DONE, CallReport
from acme_io.records.run_record import RunFiles
from acme_io.storage.call_writer import CallWriter, RunSink
from acme_io.storage.options import StorageOptions
from acme_io.storage.sink import Sink, Writer
from acme_io.storage.way import Way

if TYPE_CHECKING:
    from acme_io.storage.call_index import CallIndex
    from acme_io.storage.container_facts import ContainerFacts
    from acme_io.storage.finisher import Finisher
    from acme_io.storage.source import Source

__all__ = ["PickleSink", "Pickles"]


class Pickles(Way):
    """One pickle per call in the output directory itself, and a record beside them."""

    layout = "pickles"

    def container(self, run: RunFiles) -> Path | None:
        """Return None: the record holds no results, so it is no container."""
        return None

    def payload_folder(self, name: str) -> str | None:
        """Return None: pickles are written to the output directory."""
        return None

    def sink(self, run: RunFiles, options: StorageOptions) -> Sink:
        """Return the sink for pickles."""
        return PickleSink(run)

    def finisher(self, run: RunFiles, options: StorageOptions, index: "CallIndex") -> "Finisher":
        """Return the finisher that writes the record."""
        from acme_io.storage.pickles.record import PickleFinisher

        return PickleFinisher(run, index)

    def source(self, facts: "ContainerFacts", name: str) -> "Source":
        """Return the source for the pickles listed in a record."""
        from acme_io.storage.pickles.record import PickleSource

        # `name` is the stem of `f_record.h5`; the pickles are named after the function, `f`.
        return PickleSource(facts, facts.path.parent, name.removesuffix("_record"))

    def unfinished_source(
        self, facts: "ContainerFacts", name: str, options: StorageOptions, index: "CallIndex"
    ) -> "Source":
        """Return a source for pickles without a record."""
        from acme_io.storage.pickles.record import PickleSource

        return PickleSource(facts, facts.path.parent, name)


@dataclass(frozen=True)
class PickleSink(RunSink):
    """Opens writers of one pickle per call."""

    def open(self, calls: range) -> Writer:
        """Return a writer for a batch."""
        return _PickleWriter(self, calls)


class _PickleWriter(CallWriter):
    def __init__(self, sink: RunSink, calls: range) -> None:
        super().__init__(sink, calls)
        self._digests = [0] * len(calls)

    def _store(self, report: CallReport, value: object, at: int) -> int:
        # `DONE`, not `PICKLED`: that status marks pickles that stand in for HDF5 files.
        self._pickle(report, value, at, "", DONE)
        return DONE
