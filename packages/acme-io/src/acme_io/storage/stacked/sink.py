"""Write rows of a stacked dataset on the worker, one file per batch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from acme_io.errors import NotStorableError
from acme_io.records.call_record import DONE, CallReport
from acme_io.records.serialization import call_to_json
from acme_io.storage.batch_writer import LARGEST_BATCH, BatchWriter
from acme_io.storage.call_writer import RunSink
from acme_io.storage.sink import BatchReceipt, Writer
from acme_io.values.arrays import clean_copy
from acme_io.values.encoded import Encoded, EncodedGroup, Node
from acme_io.values.encoding import encode_value
from acme_io.values.result_shape import Slots


@dataclass(frozen=True)
class StackedSink(RunSink):
    """Opens writers of batch files."""

    slots: Slots

    def open(self, calls: range) -> Writer:
        """Return a writer for a batch."""
        return _StackedWriter(self, calls, self.slots)


@dataclass(frozen=True)
class StackedPartSink(RunSink):
    """Opens writers of part files, for a single-file run."""

    slots: Slots

    def open(self, calls: range) -> Writer:
        """Return a writer for a batch."""
        return _StackedWriter(self, calls, self.slots, part=True)


class _StackedWriter(BatchWriter):
    def __init__(self, sink: RunSink, calls: range, slots: Slots, *, part: bool = False) -> None:
        super().__init__(sink, calls, part=part)
        self._slots = slots
        self._rows: dict[int, np.ndarray[Any, Any]] = {}
        self._extras: dict[int, list[Node]] = {}
        self._lengths = [0] * len(calls)
        self._has_extras = bytearray(len(calls))

    def _store(self, report: CallReport, value: object, at: int) -> int:
        # Imported here because it imports h5py, which the client need not load to send a sink.
        from acme_io.storage.stacked.rows import row_checksum

        first, others = self._slots.split(value)
        try:
            if np.asarray(first).dtype.hasobject:
                raise NotStorableError(f"HDF5 cannot store a value of type {type(first).__name__}.")
            extras = [encode_value(other) for other in others]
        except NotStorableError as reason:
            return self._pickle_instead(report, value, at, reason)
        except ValueError:
            # NumPy makes no array of a ragged list. `fit` raises below, with a better message.
            extras = []
        row = self._slots.fit(first)
        form = _form(value, others, extras)
        axis = self._slots.varying_axis
        if axis is not None:
            self._lengths[at] = form["length"] = row.shape[
                axis - (axis > self._slots.stacking_axis)
            ]
        # Two CRC-32 in one column of 64 bits: rows are compared alone, without further values.
        checksum = row_checksum(row) | _extras_checksum(extras) << 32
        self._checksums[at] = form["checksum"] = checksum
        self._pending_bytes += row.nbytes + sum(_size(one) for one in extras)
        # The function may reuse its array in the next call. A batch that is full is written before
        # that call, so large rows need no copy.
        if self._pending_bytes < LARGEST_BATCH:
            row, extras = row.copy(), [_copied(one) for one in extras]
        self._rows[report.call] = row
        if extras:
            self._extras[report.call], self._has_extras[at] = extras, 1
        self._records[-1] = call_to_json(report, DONE, form)
        return DONE

    def _write(self, calls: range, path: Path) -> None:
        from acme_io.storage.stacked.rows import write_batch

        write_batch(
            path,
            "part" if self._part else "batch",
            self.run.stamp,
            calls,
            self._slots,
            [self._rows.get(call) for call in calls],
            self._extras,
            "\n".join(self._records),
        )

    def _discard(self) -> None:
        super()._discard()
        self._rows, self._extras = {}, {}

    def close(self) -> BatchReceipt:
        receipt = super().close()
        receipt.extras = bytes(self._has_extras)
        if self._slots.varying_axis is not None:
            receipt.lengths = self._lengths
        return receipt


def _size(encoded: Node) -> int:
    if isinstance(encoded, EncodedGroup):
        return sum(map(_size, encoded.members.values()))
    return 0 if encoded.array is None else encoded.array.nbytes


def _copied(encoded: Node) -> Node:
    """Return an encoded value with copies of its arrays."""
    if isinstance(encoded, EncodedGroup):
        members = {name: _copied(one) for name, one in encoded.members.items()}
        return EncodedGroup(encoded.kind, members, encoded.more)
    array = encoded.array
    return Encoded(None if array is None else clean_copy(array), encoded.form, encoded.text)


def _form(value: object, others: tuple[object, ...], extras: list[Node]) -> dict[str, object]:
    form: dict[str, object] = {"returned": "tuple" if others else "one"}
    if others and type(value) is not tuple:
        form["named"] = [type(value).__name__, list(value._fields)]  # type: ignore[attr-defined]
    form["values"] = ["array", *(one.form for one in extras)]
    return form


def _extras_checksum(extras: list[Node]) -> int:
    from acme_io.files.checksum import data_checksum
    from acme_io.hdf5.members import fields_of, names_of

    fields, arrays = fields_of(extras, first=1)
    return data_checksum(arrays, names_of(fields)) if extras else 0
