"""Sinks whose files hold a whole batch: stacked rows, and the parts of a single file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import layout
from .encoding import Encoded, clean_copy, encode, encode_value
from .errors import NotStorableError
from .record import DONE, FAILED, PICKLED, CallReport, Failure, call_to_json
from .sinks import BatchReceipt, CallWriter, RunSink, Writer
from .slots import Slots

__all__ = ["PartSink", "StackedPartSink", "StackedSink"]

LARGEST_BATCH = 32 << 20
"""Bytes of results that a writer holds in memory before it writes them as a file of its own."""


@dataclass(frozen=True)
class StackedSink(RunSink):
    """Rows of a stacked dataset, one file per batch."""

    slots: Slots

    def open(self, calls: range) -> Writer:
        """Begin a batch."""
        return _StackedWriter(self, calls, self.slots)


@dataclass(frozen=True)
class StackedPartSink(RunSink):
    """Rows of a stacked dataset on their way into a single file."""

    slots: Slots

    def open(self, calls: range) -> Writer:
        """Begin a batch."""
        return _StackedWriter(self, calls, self.slots, part=True)


@dataclass(frozen=True)
class PartSink(RunSink):
    """Results on their way into a single file."""

    def open(self, calls: range) -> Writer:
        """Begin a batch."""
        return _PartWriter(self, calls)


class _BatchWriter(CallWriter):
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
        self._advance(report.call)
        super().put(report, value)
        if self._records[-1] == "":  # nothing stored here: it failed or was pickled
            self._records[-1] = call_to_json(report, self._status[self._at(report.call)], None)
        if self._waiting >= self._largest:
            self._flush()

    def fail(self, report: CallReport, failure: Failure) -> None:
        self._advance(report.call)
        super().fail(report, failure)
        self._records[-1] = call_to_json(report, FAILED, None, failure)

    def close(self) -> BatchReceipt:
        self._flush()
        return super().close()

    def abort(self) -> None:
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
            relative = layout.relative(folder(self.sink.name), name(self.sink.name, calls))
            try:
                self._write(calls, layout.local(self.sink.output_dir, relative))
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
        folder = "" if self._part else layout.payload_folder(self.sink.name)
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


class _StackedWriter(_BatchWriter):
    def __init__(self, sink: RunSink, calls: range, slots: Slots, *, part: bool = False) -> None:
        super().__init__(sink, calls, part=part)
        self._slots = slots
        self._rows: dict[int, np.ndarray[Any, Any]] = {}
        self._extras: dict[int, list[Encoded]] = {}
        self._lengths = [0] * len(calls)
        self._has_extras = bytearray(len(calls))

    def _store(self, report: CallReport, value: object, at: int) -> int:
        from .stacking import row_checksum

        first, others = self._slots.split(value)
        try:
            if np.asarray(first).dtype.hasobject:
                raise NotStorableError(
                    f"HDF5 has no form for a value of type {type(first).__name__}."
                )
            extras = [encode_value(other) for other in others]
        except NotStorableError as reason:
            return self._emergency(report, value, at, reason)
        except ValueError:  # ragged: `fit` says it better
            extras = []
        row = self._slots.fit(first)
        form = _form(value, others, extras)
        axis = self._slots.varying_axis
        if axis is not None:
            self._lengths[at] = form["length"] = row.shape[
                axis - (axis > self._slots.stacking_axis)
            ]
        checksum = row_checksum(row) | _extras_checksum(extras) << 32
        self._checksums[at] = form["checksum"] = checksum
        self._count(row.nbytes + sum(_size(one) for one in extras))
        if self._waiting < LARGEST_BATCH:  # the function may use its array again in the next call
            row, extras = row.copy(), [_own(one) for one in extras]
        self._rows[report.call] = row
        if extras:
            self._extras[report.call], self._has_extras[at] = extras, 1
        self._records[-1] = call_to_json(report, DONE, form)
        return DONE

    def _write(self, calls: range, path: Path) -> None:
        from .payload import RunStamp
        from .stacking import write_batch

        write_batch(
            path,
            "part" if self._part else "batch",
            RunStamp(self.sink.run_id, self.sink.run_json),
            calls,
            self._slots,
            [self._rows.get(call) for call in calls],
            self._extras,
            "\n".join(self._records),
        )

    def _drop(self) -> None:
        super()._drop()
        self._rows, self._extras = {}, {}

    def close(self) -> BatchReceipt:
        receipt = super().close()
        receipt.extras = bytes(self._has_extras)
        if self._slots.varying_axis is not None:
            receipt.lengths = self._lengths
        return receipt


def _size(encoded: Encoded) -> int:
    return 0 if encoded.array is None else encoded.array.nbytes


def _own(encoded: Encoded) -> Encoded:
    """Copy the array of an encoded value."""
    array = encoded.array
    return Encoded(None if array is None else clean_copy(array), encoded.form, encoded.text)


def _form(value: object, others: tuple[object, ...], extras: list[Encoded]) -> dict[str, object]:
    form: dict[str, object] = {"returned": "tuple" if others else "one"}
    if others and type(value) is not tuple:
        form["named"] = [type(value).__name__, list(value._fields)]  # type: ignore[attr-defined]
    form["values"] = ["array", *(one.form for one in extras)]
    return form


def _extras_checksum(extras: list[Encoded]) -> int:
    from .checksum import data_checksum

    return data_checksum([one.array for one in extras]) if extras else 0


class _PartWriter(_BatchWriter):
    def __init__(self, sink: RunSink, calls: range) -> None:
        from .parts import LARGEST_PART, Packer

        super().__init__(sink, calls, part=True)
        self._largest = LARGEST_PART
        self._packer = Packer()

    def _store(self, report: CallReport, value: object, at: int) -> int:
        from .checksum import data_checksum
        from .parts import stored_record

        try:
            encoded, form = encode(value)
        except NotStorableError as reason:
            return self._emergency(report, value, at, reason)
        self._checksums[at] = form["checksum"] = data_checksum([one.array for one in encoded])
        for one in encoded:
            if one.array is not None:
                self._packer.add(one.array)
        self._waiting = self._packer.nbytes
        self._records[-1] = stored_record(call_to_json(report, DONE, form), encoded)
        return DONE

    def _write(self, calls: range, path: Path) -> None:
        from .parts import write_part
        from .payload import RunStamp

        stamp = RunStamp(self.sink.run_id, self.sink.run_json)
        write_part(path, stamp, calls, self._packer.pieces(), self._records)

    def _drop(self) -> None:
        super()._drop()
        self._packer.clear()

    def close(self) -> BatchReceipt:
        receipt = super().close()
        self._packer.close()
        return receipt

    def abort(self) -> None:
        super().abort()
        self._packer.close()
