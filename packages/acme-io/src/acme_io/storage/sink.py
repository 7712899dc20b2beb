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

from dataclasses import dataclass, field
from typing import Protocol

from acme_io.records.call_record import CallReport, Failure


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
