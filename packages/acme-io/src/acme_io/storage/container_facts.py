"""What a container records about its run and its calls, apart from the results."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from acme_io.errors import DamagedFileError, UnknownFileError
from acme_io.hdf5.checked_file import CheckedFile
from acme_io.hdf5.objects import has_attribute, read_column, read_text
from acme_io.hdf5.stored_table import StoredTable
from acme_io.records.call_table import CallTable
from acme_io.records.serialization import call_from_json, storage_from_json
from acme_io.storage.options import StorageOptions
from acme_io.values.result_shape import Slots

__all__ = ["ContainerFacts", "ContainerRecords", "alike", "read_facts"]

Array = np.ndarray[Any, Any]


class ContainerFacts(NamedTuple):
    """What a container records about its run.

    Attributes
    ----------
    path : pathlib.Path
        The container.
    layout : str
        Name of its layout (`acme_io.storage.way.Layout`).
    run_id : str
        The run's id.
    table : CallTable
        One row per call.
    slots : Slots, optional
        Shape and dtype of a row of stacked results.
    sources : list of (str, range), optional
        Stacked results: the files with the rows and their calls, in the order of calls. None if the
        container holds the rows itself.
    lengths : numpy.ndarray of int64, optional
        Stacked results: length of each row along the varying axis, shape (n_calls,).
    in_parts : bool
        Whether the files are the part files of an unfinished single-file run.
    run_json : str, optional
        The run's identity; None if the table has yet to read it.
    """

    path: Path
    layout: str
    run_id: str
    table: CallTable
    slots: Slots | None = None
    sources: list[tuple[str, range]] | None = None
    lengths: Array | None = None
    in_parts: bool = False
    run_json: str | None = None


def read_facts(checked: CheckedFile) -> ContainerFacts:
    """Read the facts that access to the results needs; the rest of the record is read on demand.

    Raises
    ------
    UnknownFileError
        It is another kind of acme-io file.
    DamagedFileError
        Its record is incomplete.
    """
    path, header, root = checked.path, checked.header, checked.root
    # A record beside pickles is a container without results.
    if header.kind not in ("container", "record"):
        raise UnknownFileError(
            f"{path} is a {header.kind} of acme-io, not a container. Open its folder instead."
        )
    try:
        table = StoredTable(checked)
        if len(table) != len(header.calls):
            raise ValueError(
                f"it has the status of {len(table)} calls, its header names {len(header.calls)}"
            )
        facts = ContainerFacts(path, read_text(root, "layout"), header.run, table)
        return _read_stacking(root, facts) if facts.layout == "stacked" else facts
    except (KeyError, ValueError, TypeError) as error:
        raise DamagedFileError(f"{path} lacks a part of its record: {error}") from error


def _read_stacking(root: Any, facts: ContainerFacts) -> ContainerFacts:
    slots = StorageOptions.from_description(storage_from_json(read_text(root, "run"))).slots
    # A container with a dataset of its own (single file, merged) has no list of sources.
    sources = None
    if has_attribute(root, "sources"):
        listed = json.loads(read_text(root, "sources"))
        sources = [(str(file), range(first, end)) for file, first, end in listed]
    lengths = read_column(root, "lengths") if has_attribute(root, "lengths") else None
    return facts._replace(slots=slots, sources=sources, lengths=lengths)


class ContainerRecords:
    """The records of calls in a container that holds its data itself.

    They are one text, a line per call, with the end of each line in a column: HDF5 would need a
    variable-length string per call, each in a heap, to store them one by one.
    """

    def __init__(self, checked: CheckedFile) -> None:
        self._text = read_text(checked.root, "calls")
        self._ends = read_column(checked.root, "calls_end")
        # Long records have a checksum of their own, which opening the file does not check.
        if not checked.confirms(self._text.encode()):
            raise DamagedFileError(f"The records in {checked.path} have changed.")

    def line(self, call: int) -> str:
        """Return the record of a call as text, empty if it has none."""
        # Records are ASCII (JSON with escapes), so byte positions are character positions.
        start = int(self._ends[call - 1]) if call else 0
        return self._text[start : int(self._ends[call])].strip()

    def alike(self, calls: Sequence[int]) -> bool:
        """Whether these calls, all done, returned values of the same form, judged by the text."""
        return alike(map(self.line, calls))

    def __getitem__(self, call: int) -> dict[str, Any]:
        """Return the record of a call."""
        line = self.line(call)
        return call_from_json(line) if line else {"call": call}


def alike(lines: Iterable[str]) -> bool:
    """Whether calls, all done, returned values of the same form, judged by their records."""
    # The form stands between status and start; the checksum of the call may follow it.
    forms = set()
    for line in lines:
        form = line[line.find(',"status":') : line.find(',"started":')]
        forms.add(form.rpartition(',"checksum":')[0] or form)
        if len(forms) > 1:
            return False
    return True
