"""Sinks: small objects that travel to the worker and take what calls return.

::

    client                        worker
    RunStore.sink  -- pickle -->  sink.open(calls) -> writer
                                  writer.put(report, value)      once per call that returned
                                  writer.fail(report, failure)   once per call that raised
    RunStore.accept  <-- receipt  writer.close()

A writer never raises because of one call: what goes wrong with storing a value becomes an entry in
the receipt. Receipts hold no data; they are what the client builds the container from.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from . import files, layout
from .errors import NotStorableError, ResultDtypeError, ResultShapeError
from .record import DONE, FAILED, MISSING, PICKLED, CallReport, Failure, call_to_json

__all__ = ["BatchReceipt", "PayloadSink", "PickleSink", "Sink", "Writer"]


@dataclass
class BatchReceipt:
    """What became of the calls of one batch; small, without data.

    Attributes
    ----------
    calls : range
        The calls of the batch.
    status : bytes
        One status per call: `MISSING`, `DONE`, `FAILED` or `PICKLED`.
    files : list of (str or None), or str
        Path of each call's file relative to the output directory, with forward slashes; one text
        when all of them are in one file.
    checksums : list of int
        One per call, 0 where nothing was stored.
    errors : dict of int to Exception
        Calls whose value could not be stored, with the reason.
    notes : dict of int to str
        Calls that were pickled although HDF5 was asked for, with the reason.
    attempts : list of int
        Which evaluation of each call this is, from 1; 0 where there was none.
    lengths : list of int, optional
        Length of each row along the varying axis.
    extras : bytes
        1 for calls that have values beside their row in the stacked dataset.
    """

    calls: range
    status: bytes
    files: list[str | None] | str
    checksums: list[int]
    errors: dict[int, Exception] = field(default_factory=dict)
    notes: dict[int, str] = field(default_factory=dict)
    attempts: list[int] = field(default_factory=list)
    lengths: list[int] | None = None
    extras: bytes = b""


class Writer(Protocol):
    """Takes the outcomes of the calls of one batch, in order."""

    def put(self, report: CallReport, value: object) -> None:
        """Store what a call returned; never raises for this call's trouble."""

    def fail(self, report: CallReport, failure: Failure) -> None:
        """Take note that a call raised."""

    def close(self) -> BatchReceipt:
        """Finish the files of the batch and say what became of its calls."""

    def abort(self) -> None:
        """Remove temporary files; what already has its final name stays."""


class Sink(Protocol):
    """Something picklable that makes writers."""

    def open(self, calls: range) -> Writer:
        """Begin a batch of consecutive calls."""


@dataclass(frozen=True)
class RunSink:
    """What all sinks know: where, for which function, in which run."""

    output_dir: Path
    name: str
    run_id: str
    run_json: str


@dataclass(frozen=True)
class PayloadSink(RunSink):
    """One HDF5 file per call."""

    def open(self, calls: range) -> Writer:
        """Begin a batch."""
        return _PayloadWriter(self, calls)


@dataclass(frozen=True)
class PickleSink(RunSink):
    """One pickle per call."""

    def open(self, calls: range) -> Writer:
        """Begin a batch."""
        return _PickleWriter(self, calls)


class CallWriter:
    """Writers that finish every call by itself: the receipt is all that is left for `close`.

    Parameters
    ----------
    sink : RunSink
        The sink that made it.
    calls : range
        The calls of the batch.
    """

    def __init__(self, sink: RunSink, calls: range) -> None:
        n = len(calls)
        self.sink, self.calls = sink, calls
        # Strings: thousands of small files a second leave no time for path objects.
        self._folder = layout.payload_folder(sink.name)
        self._base = str(sink.output_dir) + os.sep
        self._status = bytearray([MISSING]) * n
        self._files: list[str | None] = [None] * n
        self._checksums, self._attempts = [0] * n, [0] * n
        self._errors: dict[int, Exception] = {}
        self._notes: dict[int, str] = {}

    def put(self, report: CallReport, value: object) -> None:
        """Store what a call returned."""
        at = report.call - self.calls.start
        self._attempts[at] = report.attempt
        try:
            self._status[at] = self._store(report, value, at)
        except (ResultShapeError, ResultDtypeError) as error:
            self._refuse(report.call, type(error)(f"Call {report.call}: {error}"))
        except (OSError, NotStorableError) as error:
            self._refuse(report.call, error)
        except Exception as error:  # never lose the other calls of the batch
            self._refuse(report.call, NotStorableError(_unexpected(report.call, value, error)))

    def fail(self, report: CallReport, failure: Failure) -> None:
        """Take note that a call raised."""
        at = report.call - self.calls.start
        self._status[at], self._attempts[at] = FAILED, report.attempt

    def close(self) -> BatchReceipt:
        """Say what became of the calls."""
        return BatchReceipt(
            self.calls,
            bytes(self._status),
            self._files,
            self._checksums,
            self._errors,
            self._notes,
            self._attempts,
        )

    def abort(self) -> None:
        """Every call is finished by itself: there is nothing to remove."""

    def _store(self, report: CallReport, value: object, at: int) -> int:
        raise NotImplementedError

    def _refuse(self, call: int, error: Exception) -> None:
        self._status[call - self.calls.start] = FAILED
        self._errors[call] = error

    def _pickle(self, report: CallReport, value: object, at: int, folder: str, status: int) -> None:
        sink, name = self.sink, layout.pickle_name(self.sink.name, report.call)
        record = call_to_json(report, status, None)
        path = os.path.join(self._base + folder, name)
        self._checksums[at] = _write_pickle(path, value, report.call, record, sink)
        self._files[at] = layout.relative(folder, name)


class _PickleWriter(CallWriter):
    def _store(self, report: CallReport, value: object, at: int) -> int:
        self._pickle(report, value, at, "", DONE)
        return DONE


class _PayloadWriter(CallWriter):
    def _store(self, report: CallReport, value: object, at: int) -> int:
        from .encoding import encode

        try:
            encoded, form = encode(value)
        except NotStorableError as reason:
            return self._emergency(report, value, at, reason)
        from .hdf5 import Field
        from .payload import RunStamp, write_file

        sink, call = self.sink, report.call
        calls = range(call, call + 1)
        name = layout.payload_name(sink.name, calls)
        self._checksums[at] = write_file(
            f"{self._base}{self._folder}{os.sep}{name}",
            "payload",
            RunStamp(sink.run_id, sink.run_json),
            calls,
            call_to_json(report, DONE, form),
            [Field.of(layout.result_name(i), one) for i, one in enumerate(encoded)],
            [one.array for one in encoded],
        )
        self._files[at] = layout.relative(self._folder, name)
        self._remove_twin(layout.pickle_name(sink.name, call))
        return DONE

    def _emergency(self, report: CallReport, value: object, at: int, reason: Exception) -> int:
        try:
            self._pickle(report, value, at, self._folder, PICKLED)
        except NotStorableError as second:
            raise NotStorableError(_both(report.call, reason, second)) from None
        self._notes[report.call] = str(reason)
        calls = range(report.call, report.call + 1)
        self._remove_twin(layout.payload_name(self.sink.name, calls))
        return PICKLED

    def _remove_twin(self, file_name: str) -> None:
        """Remove what an earlier evaluation of the call left in the other format."""
        files.remove(f"{self._base}{self._folder}{os.sep}{file_name}")


def _write_pickle(path: str, value: object, call: int, record: str, sink: RunSink) -> int:
    from .pickling import write_pickle

    return write_pickle(path, value, call, record, sink.run_id, sink.run_json)


def _both(call: int, reason: Exception, second: Exception) -> str:
    return (
        f"The result of call {call} can be stored neither in HDF5 nor as a pickle. {reason} "
        f"{second} Return arrays, numbers, text or picklable objects."
    )


def _unexpected(call: int, value: object, error: Exception) -> str:
    return (
        f"The result of call {call}, of type {type(value).__name__}, could not be stored: "
        f"{type(error).__name__}: {error}"
    )
