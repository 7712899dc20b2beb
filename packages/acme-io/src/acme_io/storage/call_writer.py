"""The base of the writers of all ways of storing."""

import os
from dataclasses import dataclass

from acme_io import layout
from acme_io.errors import NotStorableError, ResultDtypeError, ResultShapeError
from acme_io.records.argument_text import recorded_text, text_digest
from acme_io.records.call_record import FAILED, MISSING, CallReport, Failure
from acme_io.records.run_record import RunFiles
from acme_io.records.serialization import call_to_json
from acme_io.storage.sink import BatchReceipt

__all__ = ["CallWriter", "RunSink"]


@dataclass(frozen=True)
class RunSink:
    """The base of all sinks: a small object that travels to the workers in a pickle.

    Parameters
    ----------
    run : RunFiles
        Names, folders and identity of the run.
    """

    run: RunFiles


class CallWriter:
    """A writer that completes every call in `put`, which leaves `close` only the receipt.

    Parameters
    ----------
    sink : RunSink
        The sink that opens this writer.
    calls : range
        The calls of the batch.
    """

    def __init__(self, sink: RunSink, calls: range) -> None:
        n = len(calls)
        self.run, self.calls = sink.run, calls
        # Strings instead of `pathlib.Path`, which takes 4 µs per path: a worker writes
        # thousands of small files a second.
        self._folder = layout.payload_folder(self.run.name)
        self._base = str(self.run.output_dir) + os.sep
        self._status = bytearray([MISSING]) * n
        self._files: list[str | None] = [None] * n
        self._checksums, self._attempts = [0] * n, [0] * n
        # Only for results in a file each: elsewhere one file has the records of many calls.
        self._digests: list[int] | None = None
        # Most calls have neither error nor note: dictionaries, not columns.
        self._errors: dict[int, Exception] = {}
        self._notes: dict[int, str] = {}

    def put(self, report: CallReport, value: object) -> None:
        """Store what a call returned."""
        at = report.call - self.calls.start
        self._attempts[at] = report.attempt
        try:
            self._status[at] = self._store(report, value, at)
        except (ResultShapeError, ResultDtypeError) as error:
            self._reject(report.call, type(error)(f"Call {report.call}: {error}"))
        except (OSError, NotStorableError) as error:
            self._reject(report.call, error)
        except Exception as error:
            # `__array__`, `__reduce__` and similar methods of the user's classes may raise
            # anything. That must cost this call only, not the batch.
            self._reject(report.call, NotStorableError(_unexpected(report.call, value, error)))

    def fail(self, report: CallReport, failure: Failure) -> None:
        """Record that a call raised."""
        at = report.call - self.calls.start
        self._status[at], self._attempts[at] = FAILED, report.attempt

    def close(self) -> BatchReceipt:
        """Return the receipt of all calls."""
        return BatchReceipt(
            self.calls,
            bytes(self._status),
            self._files,
            self._checksums,
            self._errors,
            self._notes,
            self._attempts,
            arguments=self._digests,
        )

    def abort(self) -> None:
        """Do nothing: every call is complete after `put`."""

    def _store(self, report: CallReport, value: object, at: int) -> int:
        raise NotImplementedError

    def _reject(self, call: int, error: Exception) -> None:
        self._status[call - self.calls.start] = FAILED
        self._errors[call] = error

    def _note_arguments(self, at: int, record: str) -> None:
        if self._digests is not None:
            self._digests[at] = text_digest(recorded_text(record))

    def _pickle(self, report: CallReport, value: object, at: int, folder: str, status: int) -> None:
        # Imported on first use, like everything that only some writers need.
        from acme_io.files.pickle_file import write_pickle

        name = layout.pickle_name(self.run.name, report.call)
        record = call_to_json(report, status, None)
        self._note_arguments(at, record)
        path = os.path.join(self._base + folder, name)
        self._checksums[at] = write_pickle(path, value, report.call, record, self.run.stamp)
        self._files[at] = layout.relative(folder, name)


def _unexpected(call: int, value: object, error: Exception) -> str:
    return (
        f"The result of call {call}, of type {type(value).__name__}, could not be stored: "
        f"{type(error).__name__}: {error}"
    )
