"""Read merged results of one shape and dtype, a row per call."""

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from acme_io import layout
from acme_io.errors import DamagedFileError
from acme_io.files.checksum import as_bytes, fits
from acme_io.hdf5.objects import Field, open_dataset, plain_offset, read_text
from acme_io.hdf5.slabs import read_slab
from acme_io.records.call_record import DONE
from acme_io.storage.container_facts import ContainerFacts
from acme_io.storage.single_file.source import SCALARS, SingleFileSource
from acme_io.storage.source import StoredCall, data_changed

Array = np.ndarray[Any, Any]


class UniformSource(SingleFileSource):
    """One row per call in datasets of the container itself."""

    def __init__(self, facts: ContainerFacts, name: str) -> None:
        super().__init__(facts, name)
        self._rows: dict[str, Any] | None = None

    @property
    def rows(self) -> dict[str, Any]:
        """The form of all results: `returned`, `values` and `fields` (dtype, shape, text)."""
        if self._rows is None:
            try:
                rows: dict[str, Any] = json.loads(read_text(self._opened().root, "rows"))
            except (KeyError, ValueError) as error:
                raise DamagedFileError(
                    f"{self.path} lacks a part of its record: {error}"
                ) from error
            self._rows = rows
        return self._rows

    def load(self, call: int) -> StoredCall:
        """Read one call with status `DONE`."""
        record = self.load_record(call)
        datasets: list[tuple[Field, Array | None]] = []
        for index, (_, shape, text) in enumerate(self.rows["fields"]):
            array = self.read(index, range(call, call + 1)).reshape(shape)
            field = Field(layout.result_name(index), array.dtype, array.shape, text)
            datasets.append((field, array))
        found = StoredCall.of(record, datasets)
        # Compare this call alone; the checksums of the datasets would need all of their rows.
        if not fits(int(self.table.checksum[call]), found.arrays):
            raise data_changed(call, self.path)
        return found

    def load_scalars(self, call: int) -> StoredCall:
        """Read one call with status `DONE`, as `load` does."""
        # Not as the base class, which has a group per call.
        return self.load(call)

    def read(self, index: int, calls: range) -> Array:
        """Read rows of one return value, shape `(len(calls), ...)`."""
        fid = self._opened().fid
        try:
            dataset = open_dataset(fid, layout.result_name(index))
            shape = (len(calls), *dataset.shape[1:])
            # From the record instead of `dataset.dtype`, for which h5py builds a NumPy dtype anew.
            descr = self.rows["fields"][index][0]
            array = np.empty(shape, descr if isinstance(descr, str) else dataset.dtype)
            if self._read_direct(dataset, array, calls.start):
                return array
            read_slab(dataset, array, (calls.start, *[0] * (len(shape) - 1)))
        except (KeyError, ValueError, RuntimeError, OSError) as error:
            raise DamagedFileError(f"{self.path} is damaged: {error}") from error
        return array

    def _read_direct(self, dataset: Any, array: Array, first: int) -> bool:
        """Read rows directly from the file; return False if HDF5 has to convert them."""
        # Contiguous little-endian numbers are the same bytes in file and memory. Everything else,
        # and data without a block of its own (no offset), is read through HDF5.
        offset = plain_offset(dataset)
        if offset is None or array.dtype.byteorder == ">":
            return False
        row = array.dtype.itemsize * math.prod(array.shape[1:])
        self._opened().read_into(as_bytes(array), offset + first * row)
        return True

    def alike(self, calls: Sequence[int]) -> bool:
        """Whether these calls returned values of the same form, as all calls here did."""
        return True

    def stack(self, index: int, calls: range, missing: str) -> Array | None:
        """Read one return value of several calls as one array; see `Source.stack`.

        None if rows have to be decoded one by one, or if calls have no result: reading call by call
        raises an error that names them.
        """
        done = self.table.status[calls.start : calls.stop] == DONE
        if not done.any() or (missing == "raise" and not done.all()):
            return None
        rows = self._values(index, calls)
        if rows is None or missing == "raise":
            return rows
        mask = np.zeros(rows.shape, bool)
        mask[~done] = True
        return np.ma.MaskedArray(rows, mask)

    def _values(self, index: int, calls: range) -> Array | None:
        """Read rows of one return value; return None if rows need decoding."""
        forms = self.rows["values"]
        if index >= len(forms) or forms[index] not in (*SCALARS, "array"):
            return None
        shape = self.rows["fields"][index][1]
        rows, checked = self.read(index, calls), self._opened()
        checked.check_data(open_dataset(checked.fid, layout.result_name(index)), rows)
        scalar = forms[index] in SCALARS
        return rows if scalar else rows.reshape((len(calls), *shape))
