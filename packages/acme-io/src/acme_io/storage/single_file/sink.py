"""Write the part files of a single-file run on the worker."""

from dataclasses import dataclass
from pathlib import Path

from acme_io.errors import NotStorableError
from acme_io.records.call_record import DONE, CallReport
from acme_io.records.serialization import call_to_json
from acme_io.storage.batch_writer import BatchWriter
from acme_io.storage.call_writer import RunSink
from acme_io.storage.sink import BatchReceipt, Writer
from acme_io.values.encoding import encode


@dataclass(frozen=True)
class PartSink(RunSink):
    """Opens writers of part files."""

    def open(self, calls: range) -> Writer:
        """Return a writer for a batch."""
        return PartWriter(self, calls)


class PartWriter(BatchWriter):
    """Packs the results of a batch into part files; the parameters are those of `CallWriter`."""

    def __init__(self, sink: RunSink, calls: range) -> None:
        from acme_io.storage.single_file.part_file import LARGEST_PART, Packer

        super().__init__(sink, calls, part=True)
        self._largest = LARGEST_PART
        self._packer = Packer()
        self._nested = False

    def _store(self, report: CallReport, value: object, at: int) -> int:
        from acme_io.storage.single_file.part_file import pack, stored_record

        try:
            encoded, form = encode(value)
        except NotStorableError as reason:
            return self._pickle_instead(report, value, at, reason)
        # Also in the record: after a kill there is no receipt, and the parts are all there is.
        fields, self._checksums[at], nested = pack(self._packer, encoded)
        form["checksum"] = self._checksums[at]
        self._nested |= nested
        # With padding, and in place of a sum of our own: the packer knows when its buffer is full.
        self._pending_bytes = self._packer.nbytes
        self._records[-1] = stored_record(call_to_json(report, DONE, form), fields)
        return DONE

    def _write(self, calls: range, path: Path) -> None:
        from acme_io.storage.single_file.part_file import write_part

        pieces = self._packer.pieces()
        write_part(path, self.run.stamp, calls, pieces, self._records, nested=self._nested)

    def _discard(self) -> None:
        super()._discard()
        self._packer.clear()
        self._nested = False

    def close(self) -> BatchReceipt:
        """Write the remaining results, release the buffer and return the receipt."""
        receipt = super().close()
        self._packer.close()
        return receipt

    def abort(self) -> None:
        """Discard unwritten results and release the buffer."""
        super().abort()
        self._packer.close()
