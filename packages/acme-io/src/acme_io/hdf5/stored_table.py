"""The table of a container, read as it is needed: whoever stacks results wants the status alone."""

from collections.abc import Callable
from typing import Any

from acme_io.errors import DamagedFileError
from acme_io.hdf5.attributes import checked_column
from acme_io.hdf5.checked_file import CheckedFile
from acme_io.hdf5.objects import read_text
from acme_io.records.call_record import Failure, call_from_json, failures_from_json
from acme_io.records.call_table import CallTable
from acme_io.records.status import FAILED

__all__ = ["StoredTable"]


class StoredTable(CallTable):
    """A `CallTable` whose facts, but for the status, are read when they are asked for.

    Parameters
    ----------
    checked : CheckedFile
        The container, open; its status is read at once.

    Raises
    ------
    KeyError
        There is no status; any other fact that is missing raises `DamagedFileError` when it is
        asked for.
    """

    finished: float
    """End of the run, seconds since 1970."""

    run_json: str
    """The run's identity."""

    def __init__(self, checked: CheckedFile) -> None:
        self._path, self._seal = checked.path, checked.header
        self.status = checked_column(checked, "status", "<u1")
        self._n_calls = len(self.status)

    def __getattr__(self, name: str) -> Any:
        """Read the columns, or the texts, at the first use of one."""
        if name in _TEXTS:
            self._read(self._texts)
        elif any(name == column for column, _ in self.COLUMNS):
            self._read(self._columns)
        else:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return self.__dict__[name]

    def read_all(self) -> None:
        """Read whatever was not read yet."""
        for name in (*(column for column, _ in self.COLUMNS), *_TEXTS):
            getattr(self, name)

    def _read(self, read: Callable[[CheckedFile], dict[str, Any]]) -> None:
        with CheckedFile(self._path) as checked:
            if checked.header != self._seal:
                raise DamagedFileError(f"{self._path} was replaced since it was opened.")
            try:
                found = read(checked)
            except (KeyError, ValueError, TypeError) as error:
                raise DamagedFileError(
                    f"{self._path} lacks a part of its record: {error}"
                ) from error
        # What was set in between stays.
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
        workers = call_from_json(f'{{"w":{read_text(checked.root, "workers")}}}')["w"]
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
