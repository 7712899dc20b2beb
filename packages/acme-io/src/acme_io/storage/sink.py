"""Sinks: small objects that travel to the workers and open writers for the results of calls.

::

    client                        worker
    RunStore.sink  -- pickle -->  sink.open(calls) -> writer
                                  writer.put(report, value)      once per call that returned
                                  writer.fail(report, failure)   once per call that raised
    RunStore.accept  <-- receipt  writer.close()

A writer never raises because of one call: a value that cannot be stored becomes an entry in the
receipt. Receipts hold no data; the client builds the container from them. Sinks import h5py only
when they store a result, so the client can send them before it has loaded the library.
"""

from dataclasses import dataclass, field
from typing import Protocol

from acme_io.records.call_record import CallReport, Failure


@dataclass
class BatchReceipt:
    """The outcome of the calls of one batch, without their data.

    Attributes
    ----------
    calls : range
        The calls of the batch.
    status : bytes
        One status per call: `MISSING`, `DONE`, `FAILED` or `PICKLED`.
    files : list of (str or None), or str
        Path of each call's file, relative to the output directory, with forward slashes; one text
        if all calls are in one file.
    checksums : list of int
        One per call, 0 where nothing was stored.
    errors : dict of int to Exception
        The reason for each call whose value could not be stored.
    notes : dict of int to str
        The reason for each call that was pickled because HDF5 cannot hold its value.
    attempts : list of int
        The attempt of each call, from 1; 0 for calls that were not evaluated.
    lengths : list of int, optional
        Length of each row along the varying axis.
    extras : bytes
        1 for calls with further return values beside their row of the stacked dataset.
    arguments : list of int, optional
        Digest of each call's arguments (`acme_io.records.argument_text`), 0 where none was stored.
    """

    # Bytes and plain lists: a receipt is pickled on the worker for every batch, and the scheduler
    # passes it on.
    calls: range
    status: bytes
    files: list[str | None] | str
    checksums: list[int]
    errors: dict[int, Exception] = field(default_factory=dict)
    notes: dict[int, str] = field(default_factory=dict)
    attempts: list[int] = field(default_factory=list)
    lengths: list[int] | None = None
    extras: bytes = b""
    arguments: list[int] | None = None


class Writer(Protocol):
    """Takes the outcomes of the calls of one batch, in the order of calls."""

    def put(self, report: CallReport, value: object) -> None:
        """Store what a call returned; a failure to store it goes into the receipt."""

    def fail(self, report: CallReport, failure: Failure) -> None:
        """Record that a call raised."""

    def close(self) -> BatchReceipt:
        """Complete the files of the batch and return its receipt."""

    def abort(self) -> None:
        """Discard unwritten results; files under their final names stay."""


class Sink(Protocol):
    """Opens writers on the worker; must be picklable."""

    def open(self, calls: range) -> Writer:
        """Return a writer for a batch of consecutive calls."""
