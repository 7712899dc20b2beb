"""Sources of single files: the finished container, and the parts of one that was never finished."""

from pathlib import Path
from typing import Any

import numpy as np
from h5py import h5d, h5f, h5g

from . import layout
from .errors import DamagedFileError, MissingCallError
from .hdf5 import Field, read_column, read_text
from .opening import SealedFile
from .parts import PartFile
from .record import DONE, PICKLED, call_from_json
from .sources import Container, Source, StoredCall, read_field, read_values, without_lost_pickles

__all__ = ["ContainerPart", "ContainerRecords", "PartSource", "SingleSource", "part_is_gone"]

Array = np.ndarray[Any, Any]


class ContainerRecords:
    """The records of calls in a container that holds its data itself."""

    def __init__(self, sealed: SealedFile) -> None:
        self._text = read_text(sealed.root, "calls")
        self._ends = read_column(sealed.root, "calls_end")
        # Long records are not checked when the file is opened, but now.
        if not sealed.seal.confirms(self._text.encode()):
            raise DamagedFileError(f"The records in {sealed.path} have changed.")

    def line(self, call: int) -> str:
        """Return the record of a call as text; empty if there is none."""
        start = int(self._ends[call - 1]) if call else 0
        return self._text[start : int(self._ends[call])].strip()

    def __getitem__(self, call: int) -> dict[str, Any]:
        """Return the record of a call."""
        line = self.line(call)
        return call_from_json(line) if line else {"call": call}


class SingleSource(Source):
    """All calls in the container itself, each in a group of its own."""

    def __init__(self, container: Container, name: str) -> None:
        super().__init__(container, container.path.parent, name)
        self._sealed: SealedFile | None = None
        self._records: ContainerRecords | None = None

    def take(self, sealed: SealedFile) -> None:
        """Take over the container, which is open already."""
        self._sealed = sealed

    def _opened(self) -> SealedFile:
        if self._sealed is None:
            self._sealed = SealedFile(self.path, self.check)
        return self._sealed

    def _open(self) -> tuple[h5f.FileID, ContainerRecords]:
        sealed = self._opened()
        if self._records is None:
            try:
                self._records = ContainerRecords(sealed)
            except (KeyError, ValueError) as error:
                raise DamagedFileError(f"{self.path} lacks the records: {error}") from error
        return sealed.fid, self._records

    def present(self) -> Array:
        """Status of every call; lost pickles count as missing."""
        return without_lost_pickles(self)

    def load(self, call: int) -> StoredCall:
        """Read one call that is done."""
        fid, records = self._open()
        record = records[call]
        try:
            return StoredCall.of(record, read_values(fid, f"{layout.call_group(call)}/", record, 0))
        except (KeyError, ValueError, RuntimeError, OSError) as error:
            raise DamagedFileError(f"Call {call} in {self.path} is damaged: {error}") from error

    def load_record(self, call: int) -> dict[str, Any]:
        """Read the record of one call."""
        if self.table.status[call] == PICKLED:
            return self._pickle_record(call)
        return self._open()[1][call]

    def close(self) -> None:
        """Close the container."""
        if self._sealed is not None:
            self._sealed.close()
            self._sealed = None


class ContainerPart:
    """A finished single file, read as if it were a part: to go on with its run, or to copy it.

    Parameters
    ----------
    path : pathlib.Path
        The container.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._sealed = SealedFile(path)
        self._records = ContainerRecords(self._sealed)
        self._status = read_column(self._sealed.root, "status")

    def __contains__(self, call: int) -> bool:
        """Whether a call has a result here."""
        return bool(self._status[call] == DONE) and bool(self.record(call))

    def record(self, call: int) -> str:
        """Return the record of a call."""
        return self._records.line(call)

    def datasets(self, call: int) -> list[tuple[Field, Array | None]]:
        """Read the datasets of a call."""
        group = h5g.open(self._sealed.fid, layout.call_group(call).encode())
        names = map(layout.result_name, range(group.get_num_objs()))
        return [read_field(h5d.open(group, name.encode()), name) for name in names]

    def close(self) -> None:
        """Close the file."""
        self._sealed.close()


def part_is_gone(path: Path, container: Path) -> MissingCallError:
    """Return the error for a part that was there when the results were opened."""
    return MissingCallError(
        f"{path} is gone: the run has put its parts together since these results were opened. "
        f"Open {container} again."
    )


class PartSource(Source):
    """Part files of a run that did not come to its end."""

    def __init__(self, container: Container, name: str, files: list[str | None]) -> None:
        super().__init__(container, container.path.parent, name)
        self._files = files
        self._part: tuple[str, PartFile | ContainerPart] | None = None

    def present(self) -> Array:
        """Status of every call, as the parts were found."""
        return self.table.status

    def _part_of(self, call: int) -> "PartFile | ContainerPart":
        file = str(self._files[call])
        if self._part is None or self._part[0] != file:
            path = layout.local(self.folder, file)
            self.close()
            try:
                part = ContainerPart(path) if path == self.path else PartFile(path)
            except FileNotFoundError:
                raise part_is_gone(path, self.path) from None
            self._part = (file, part)
        return self._part[1]

    def load_record(self, call: int) -> dict[str, Any]:
        """Read the record of one call."""
        if self.table.status[call] == PICKLED:
            return self._pickle_record(call)
        return call_from_json(self._part_of(call).record(call))

    def load(self, call: int) -> StoredCall:
        """Read one call that is done."""
        return StoredCall.of(self.load_record(call), self._part_of(call).datasets(call))

    def close(self) -> None:
        """Let go of the part that is open."""
        if self._part is not None:
            self._part[1].close()
            self._part = None
