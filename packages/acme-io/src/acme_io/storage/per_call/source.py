"""Read results stored in one HDF5 file per call."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from acme_io.errors import DamagedFileError
from acme_io.files.header import check_open_file
from acme_io.hdf5.checked_file import CheckedFile, small_content
from acme_io.hdf5.objects import data_offset, open_dataset, read_text
from acme_io.hdf5.templates.reading import PayloadPattern, pattern_of
from acme_io.records.call_record import DONE, PICKLED
from acme_io.records.serialization import call_from_json
from acme_io.storage.container_facts import ContainerFacts
from acme_io.storage.source import (
    Problem,
    Source,
    StoredCall,
    own_files_present,
    payload_missing,
    read_values,
)

__all__ = ["PerCallSource"]

Array = np.ndarray[Any, Any]

# Byte patterns of payloads that are kept. Each read compares with all of them before it falls back
# to HDF5, and the results of a run rarely have more than a few structures.
_PATTERNS = 4

# Bytes of a payload up to which it is read as a whole: all of its data is wanted, and a dict of ten
# arrays of 80 kB is read in half the time that HDF5 takes for its datasets.
_WHOLE = 2 << 20


class PerCallSource(Source):
    """One HDF5 file per call, some of them pickles; the parameters are those of `Source`."""

    def __init__(self, facts: ContainerFacts, folder: Path, name: str) -> None:
        super().__init__(facts, folder, name)
        self._patterns: list[PayloadPattern] = []

    def present(self) -> Array:
        """Return the status of every call, `MISSING` for files that no longer exist."""
        return own_files_present(self)

    def load_record(self, call: int) -> dict[str, Any]:
        """Read the record of one call that is done or pickled."""
        if self.table.status[call] == PICKLED:
            return self.pickle_record(call)
        return self.load_scalars(call).record

    def load(self, call: int) -> StoredCall:
        """Read one call with status `DONE`."""
        return self._read(call, scalars=False)

    def load_scalars(self, call: int) -> StoredCall:
        """Read one call with status `DONE`; arrays in large files are left out."""
        return self._read(call, scalars=True)

    def _read(self, call: int, *, scalars: bool) -> StoredCall:
        path = self.file(call)
        try:
            found = self._load_by_pattern(path, call)
            return self._load(path, call, scalars) if found is None else found
        except FileNotFoundError:
            raise payload_missing(path, call) from None

    def _load(self, path: Path, call: int, scalars: bool) -> StoredCall:
        """Read a payload with the HDF5 library, and remember its byte pattern."""
        with CheckedFile(path, self.check, _WHOLE) as checked:
            self.check_belongs(checked.header, path, call)
            try:
                text = read_text(checked.root, "calls")
                record = call_from_json(text)
                # A small file is in memory as a whole, and its pattern needs all fields.
                scalars = scalars and checked.content is None
                values = read_values(checked, "", record, 0, scalars=scalars)
                found = StoredCall.of(record, values)
            except (KeyError, ValueError, RuntimeError, OSError) as error:
                raise DamagedFileError(
                    f"{path}, the result of call {call}, is damaged: {error}"
                ) from error
            # Only small files are in memory, and only they share patterns.
            if checked.content is not None:
                self._keep_pattern(checked, checked.content, text, found)
        return found

    def _keep_pattern(
        self, checked: CheckedFile, content: bytes, text: str, found: StoredCall
    ) -> None:
        # HDF5 reports no offset for data in the object header or for datasets without elements.
        offsets = []
        for field in found.fields:
            known = data_offset(open_dataset(checked.fid, field.path)) if field.nbytes else None
            offsets.append(-1 if known is None else known)
        pattern = pattern_of(content, checked.header.block, text, found.fields, offsets)
        if pattern is not None:
            self._patterns = [pattern, *self._patterns[: _PATTERNS - 1]]

    def _load_by_pattern(self, path: Path, call: int) -> StoredCall | None:
        """Read a payload that matches a known byte pattern; return None if it matches none."""
        if not self._patterns:
            return None
        content = small_content(path, _WHOLE)
        if content is None:
            return None
        for pattern in self._patterns:
            found = pattern.read(content)
            if found is not None:
                # The pattern covers the structure; the checksums in the header cover the data.
                header = check_open_file(io.BytesIO(content), path, "all")
                self.check_belongs(header, path, call)
                fields = [field for field, _ in pattern.data]
                return StoredCall(call_from_json(found[0]), fields, found[1])
        return None

    def _problems_with_results(self) -> list[Problem]:
        done = np.flatnonzero(self.table.status == DONE)
        return [problem for call in done for problem in self._problems_with_file(int(call))]
