"""The records of calls in a container that holds its data itself."""

from typing import Any

from acme_io.errors import DamagedFileError
from acme_io.hdf5.checked_file import CheckedFile
from acme_io.hdf5.objects import read_column, read_text
from acme_io.records.call_record import call_from_json


class ContainerRecords:
    """The records of calls in a container that holds its data itself."""

    def __init__(self, checked: CheckedFile) -> None:
        self._text = read_text(checked.root, "calls")
        self._ends = read_column(checked.root, "calls_end")
        # Long records are not checked when the file is opened, but now.
        if not checked.confirms(self._text.encode()):
            raise DamagedFileError(f"The records in {checked.path} have changed.")

    def line(self, call: int) -> str:
        """Return the record of a call as text; empty if there is none."""
        start = int(self._ends[call - 1]) if call else 0
        return self._text[start : int(self._ends[call])].strip()

    def __getitem__(self, call: int) -> dict[str, Any]:
        """Return the record of a call."""
        line = self.line(call)
        return call_from_json(line) if line else {"call": call}
