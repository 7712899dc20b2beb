"""The call table of a container, read on demand: stacking results needs the status alone."""

from collections.abc import Callable
from typing import Any

from acme_io.errors import DamagedFileError
from acme_io.hdf5.attributes import checked_column
from acme_io.hdf5.checked_file import CheckedFile
from acme_io.hdf5.objects import read_text
from acme_io.records.call_record import FAILED, Failure
from acme_io.records.call_table import CallTable
from acme_io.records.serialization import call_from_json, failures_from_json

__all__ = ["StoredTable"]


class StoredTable(CallTable):
    """A `CallTable` whose columns and texts, except for the status, are read at first use.

    Parameters
    ----------
    checked : CheckedFile
        The open container; its status is read at once.

    Raises
    ------
    KeyError
        If the container has no status. Anything else that is missing raises `DamagedFileError` at
        its first use.
    """

    finished: float
    """End of the run, seconds since 1970."""

    run_json: str
    """The run's identity."""

    # Not `super().__init__`: the attributes of the base class must be absent for `__getattr__` to
    # be called. The file is reopened for each read, as results may outlive `checked` by far.
    def __init__(self, checked: CheckedFile) -> None:
        self._path, self._header = checked.path, checked.header
        self.status = checked_column(checked, "status", "<u1")
        self._n_calls = len(self.status)

    def __getattr__(self, name: str) -> Any:
        """Read all columns, or all texts, at the first use of one."""
        if name in _TEXTS:
            self._read(self._texts)
        elif any(name == column for column, _ in self.COLUMNS):
            self._read(self._columns)
        else:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return self.__dict__[name]

    def read_all(self) -> None:
        """Read everything that has not been read yet."""
        for name in (*(column for column, _ in self.COLUMNS), *_TEXTS):
            getattr(self, name)

    def _read(self, read: Callable[[CheckedFile], dict[str, Any]]) -> None:
        with CheckedFile(self._path) as checked:
            # The status read earlier would not belong to the rest.
            if checked.header != self._header:
                raise DamagedFileError(
                    f"{self._path} was replaced after it was opened. Open the results again."
                )
            try:
                found = read(checked)
            except (KeyError, ValueError, TypeError) as error:
                raise DamagedFileError(
                    f"{self._path} lacks a part of its record: {error}"
                ) from error
        # Keep attributes that were set meanwhile.
        self.__dict__.update({name: fact for name, fact in found.items() if name not in vars(self)})

    def _columns(self, checked: CheckedFile) -> dict[str, Any]:
        columns = {
            name: checked_column(checked, name, dtype)
            for name, dtype in self.COLUMNS
            if name != "status"
        }
        for name, column in columns.items():
            if column.shape != (self._n_calls,):
                raise ValueError(f"{name!r} has {column.shape} numbers for {self._n_calls} calls")
        return columns

    def _texts(self, checked: CheckedFile) -> dict[str, Any]:
        # The parser of a call's record reads the bare list too, wrapped into an object.
        workers = call_from_json(f'{{"w":{read_text(checked.root, "workers")}}}')["w"]
        # With tracebacks the failures can be the longest text; most runs have none.
        failures: dict[int, Failure] = {}
        if (self.status == FAILED).any():
            failures = failures_from_json(read_text(checked.root, "failures"))
        finished = float(read_text(checked.root, "finished"))
        return {
            "workers": list(workers),
            "failures": failures,
            "finished": finished,
            "run_json": read_text(checked.root, "run"),
        }


_TEXTS = ("workers", "failures", "finished", "run_json")
