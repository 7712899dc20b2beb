"""Collect the results of a batch and write them as one file, or as several if they are large."""

from pathlib import Path

from acme_io import layout
from acme_io.errors import NotStorableError
from acme_io.records.call_record import DONE, FAILED, PICKLED, CallReport, Failure
from acme_io.records.serialization import call_to_json
from acme_io.storage.call_writer import CallWriter, RunSink
from acme_io.storage.sink import BatchReceipt

# A worker holds at most this plus one result. Each file costs an fsync, which speaks against a
# much smaller limit.
LARGEST_BATCH = 32 << 20
"""Bytes of results that a writer holds in memory before it writes them as a file of its own."""


class BatchWriter(CallWriter):
    """Write the results of consecutive calls as one file.

    Large results are split over several files, which bounds the memory of the worker.

    Parameters
    ----------
    sink : RunSink
        The sink that opens this writer.
    calls : range
        The calls of the batch.
    part : bool
        Write part files of a single-file run, instead of batch files in the payload folder.
    """

    def __init__(self, sink: RunSink, calls: range, *, part: bool) -> None:
        super().__init__(sink, calls)
        self._part, self._largest = part, LARGEST_BATCH
        # The calls of the next file. A file covers consecutive calls, because its name holds only
        # the first and the last of them.
        self._begin = self._end = calls.start
        self._records: list[str] = []
        self._pending_bytes = 0

    def put(self, report: CallReport, value: object) -> None:
        """Store what a call returned; write the file once it has grown large."""
        self._advance(report.call)
        super().put(report, value)
        # `_store` fills in the record of a stored result; a rejected or pickled one still needs it.
        if self._records[-1] == "":
            self._records[-1] = call_to_json(report, self._status[self._at(report.call)], None)
        if self._pending_bytes >= self._largest:
            self._flush()

    def fail(self, report: CallReport, failure: Failure) -> None:
        """Record that a call raised."""
        self._advance(report.call)
        super().fail(report, failure)
        self._records[-1] = call_to_json(report, FAILED, None, failure)

    def close(self) -> BatchReceipt:
        """Write the remaining results and return the receipt of all calls."""
        self._flush()
        return super().close()

    def abort(self) -> None:
        """Discard everything not yet written."""
        self._discard()

    def _at(self, call: int) -> int:
        return call - self.calls.start

    def _advance(self, call: int) -> None:
        """Extend the records up to a call; skipped calls get an empty record."""
        if not self._end <= call < self.calls.stop:
            raise ValueError(f"Call {call} is out of order in the batch of calls {self.calls}.")
        self._records += [""] * (call + 1 - self._end)
        self._end = call + 1

    def _flush(self) -> None:
        """Write the pending calls; if the file cannot be written, each of them fails."""
        calls = range(self._begin, self._end)
        pending = [call for call in calls if self._status[self._at(call)] == DONE]
        # No results, no file: the client knows of failed calls without it.
        if pending:
            name = layout.part_name if self._part else layout.payload_name
            folder = layout.parts_folder if self._part else layout.payload_folder
            relative = layout.relative(folder(self.run.name), name(self.run.name, calls))
            try:
                self._write(calls, layout.local(self.run.output_dir, relative))
            except Exception as error:
                for call in pending:
                    self._reject(call, _as_storage_error(error))
            else:
                for call in pending:
                    self._files[self._at(call)] = relative
        self._discard()
        self._begin = self._end

    def _discard(self) -> None:
        self._records, self._pending_bytes = [], 0

    def _write(self, calls: range, path: Path) -> None:
        raise NotImplementedError

    def _pickle_instead(self, report: CallReport, value: object, at: int, reason: Exception) -> int:
        # The folder of part files is removed when the run ends; these pickles stay.
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
