"""Write one pickle per call, on the worker."""

from dataclasses import dataclass

from acme_io.records.call_record import CallReport
from acme_io.records.status import DONE
from acme_io.storage.call_writer import CallWriter, RunSink
from acme_io.storage.sink import Writer


@dataclass(frozen=True)
class PickleSink(RunSink):
    """One pickle per call."""

    def open(self, calls: range) -> Writer:
        """Begin a batch."""
        return _PickleWriter(self, calls)


class _PickleWriter(CallWriter):
    def _store(self, report: CallReport, value: object, at: int) -> int:
        self._pickle(report, value, at, "", DONE)
        return DONE
