"""Write one HDF5 file per call on the worker."""

import os
from dataclasses import dataclass

from acme_io import layout
from acme_io.errors import NotStorableError
from acme_io.files import atomic
from acme_io.records.call_record import DONE, PICKLED, CallReport
from acme_io.records.serialization import call_to_json
from acme_io.storage.call_writer import CallWriter, RunSink
from acme_io.storage.sink import Writer


@dataclass(frozen=True)
class PerCallSink(RunSink):
    """Opens writers of one HDF5 file per call."""

    def open(self, calls: range) -> Writer:
        """Return a writer for a batch."""
        return _PerCallWriter(self, calls)


class _PerCallWriter(CallWriter):
    def __init__(self, sink: RunSink, calls: range) -> None:
        super().__init__(sink, calls)
        self._digests = [0] * len(calls)

    def _store(self, report: CallReport, value: object, at: int) -> int:
        # Imported here and below: the client sends sinks before it has loaded h5py, and a worker
        # whose results are all pickled never needs it.
        from acme_io.values.encoding import encode

        try:
            encoded, form = encode(value)
        except NotStorableError as reason:
            return self._pickle_instead(report, value, at, reason)
        from acme_io.hdf5.members import fields_of
        from acme_io.hdf5.run_file import write_file

        call = report.call
        fields, arrays = fields_of(encoded)
        record = call_to_json(report, DONE, form)
        self._note_arguments(at, record)
        calls = range(call, call + 1)
        name = layout.payload_name(self.run.name, calls)
        self._checksums[at] = write_file(
            f"{self._base}{self._folder}{os.sep}{name}",
            "payload",
            self.run.stamp,
            calls,
            record,
            fields,
            arrays,
        )
        self._files[at] = layout.relative(self._folder, name)
        # Only now that the new file has its name: a kill in between leaves two files, not none.
        self._remove_other_format(layout.pickle_name(self.run.name, call))
        return DONE

    def _pickle_instead(self, report: CallReport, value: object, at: int, reason: Exception) -> int:
        try:
            self._pickle(report, value, at, self._folder, PICKLED)
        except NotStorableError as second:
            raise NotStorableError(_both(report.call, reason, second)) from None
        self._notes[report.call] = str(reason)
        calls = range(report.call, report.call + 1)
        self._remove_other_format(layout.payload_name(self.run.name, calls))
        return PICKLED

    def _remove_other_format(self, file_name: str) -> None:
        """Remove the file of an earlier attempt in the other format."""
        atomic.remove(f"{self._base}{self._folder}{os.sep}{file_name}")


def _both(call: int, reason: Exception, second: Exception) -> str:
    return (
        f"The result of call {call} can be stored neither in HDF5 nor as a pickle. {reason} "
        f"{second} Return arrays, numbers, text or picklable objects."
    )
