"""Collect the results of a batch and write them as one file, or several if they are large."""

from pathlib import Path

from acme_io import layout
from acme_io.errors import NotStorableError
from acme_io.records.call_record import CallReport, Failure, call_to_json
from acme_io.records.status import DONE, FAILED, PICKLED
from acme_io.storage.call_writer import CallWriter, RunSink
from acme_io.storage.sink import BatchReceipt

LARGEST_BATCH = 32 << 20
"""Bytes of results that a writer holds in memory before it writes them as a file of its own."""


class BatchWriter(CallWriter):
    """Collects the results of consecutive calls and writes them as one file.

    Results that are large together become several files, so that memory stays bounded.
    """

    def __init__(self, sink: RunSink, calls: range, *, part: bool) -> None:
        super().__init__(sink, calls)
        self._part, self._largest = part, LARGEST_BATCH
        self._begin = self._end = calls.start  # calls that wait for their file
        self._records: list[str] = []
        self._waiting = 0

    def put(self, report: CallReport, value: object) -> None:
        """Store what a call returned; a batch that has grown large is written."""
        self._advance(report.call)
        super().put(report, value)
        if self._records[-1] == "":  # nothing stored here: it failed or was pickled
            self._records[-1] = call_to_json(report, self._status[self._at(report.call)], None)
        if self._waiting >= self._largest:
            self._flush()

    def fail(self, report: CallReport, failure: Failure) -> None:
        """Record that a call raised."""
        self._advance(report.call)
        super().fail(report, failure)
        self._records[-1] = call_to_json(report, FAILED, None, failure)

    def close(self) -> BatchReceipt:
        """Write what is left and report on all calls."""
        self._flush()
        return super().close()

    def abort(self) -> None:
        """Drop what is not written yet."""
        self._drop()

    def _count(self, nbytes: int) -> None:
        self._waiting += nbytes

    def _at(self, call: int) -> int:
        return call - self.calls.start

    def _advance(self, call: int) -> None:
        """Make room up to a call; calls that were left out have an empty record."""
        if not self._end <= call < self.calls.stop:
            raise ValueError(f"Call {call} is out of order in the batch of calls {self.calls}.")
        self._records += [""] * (call + 1 - self._end)
        self._end = call + 1

    def _flush(self) -> None:
        """Write what waits; a trouble with the file is the trouble of every call in it."""
        calls = range(self._begin, self._end)
        waiting = [call for call in calls if self._status[self._at(call)] == DONE]
        if waiting:
            name = layout.part_name if self._part else layout.payload_name
            folder = layout.parts_folder if self._part else layout.payload_folder
            relative = layout.relative(folder(self.run.name), name(self.run.name, calls))
            try:
                self._write(calls, layout.local(self.run.output_dir, relative))
            except Exception as error:
                for call in waiting:
                    self._refuse(call, _as_storage_error(error))
            else:
                for call in waiting:
                    self._files[self._at(call)] = relative
        self._drop()
        self._begin = self._end

    def _drop(self) -> None:
        self._records, self._waiting = [], 0

    def _write(self, calls: range, path: Path) -> None:
        raise NotImplementedError

    def _emergency(self, report: CallReport, value: object, at: int, reason: Exception) -> int:
        folder = "" if self._part else layout.payload_folder(self.run.name)
        try:
            self._pickle(report, value, at, folder, PICKLED)
        except NotStorableError as second:
            raise NotStorableError(f"{reason} {second}") from None
        self._notes[report.call] = str(reason)
        return PICKLED


def _as_storage_error(error: Exception) -> Exception:
    if isinstance(error, (OSError, NotStorableError)):
        return error
    return NotStorableError(f"The batch could not be stored: {type(error).__name__}: {error}")
