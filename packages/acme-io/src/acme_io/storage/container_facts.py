"""What a container says about its run, apart from the results."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from h5py import h5a

from acme_io.errors import DamagedFileError, UnknownFileError
from acme_io.hdf5.checked_file import CheckedFile
from acme_io.hdf5.objects import read_column, read_text
from acme_io.hdf5.stored_table import StoredTable
from acme_io.records.call_table import CallTable
from acme_io.records.run_record import storage_from_json
from acme_io.storage.options import StorageOptions
from acme_io.values.result_shape import Slots

Array = np.ndarray[Any, Any]


class ContainerFacts(NamedTuple):
    """What a container says about its run.

    `run_json` is the run's identity, None where it is still to be read from the table. `slots`,
    `sources` (file, first call, end) and `lengths` are those of stacked results, None where there
    are none; a stacked container without `sources` holds the rows itself. `in_parts` is true for
    part files of a single file that was never finished.
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
    """Read what a container says about its run, as far as its results need it.

    Raises
    ------
    UnknownFileError
        It is no container of acme-io.
    DamagedFileError
        A part of its record is not there.
    """
    path, header, root = checked.path, checked.header, checked.root
    if header.kind not in ("container", "record"):
        raise UnknownFileError(
            f"{path} is a {header.kind} of acme-io, not a container. Open its folder instead."
        )
    try:
        table = StoredTable(checked)
        if len(table) != len(header.calls):
            raise ValueError(
                f"its status is that of {len(table)} calls, not of {len(header.calls)}"
            )
        facts = ContainerFacts(path, read_text(root, "layout"), header.run, table)
        return _read_stacking(root, facts) if facts.layout == "stacked" else facts
    except (KeyError, ValueError, TypeError) as error:
        raise DamagedFileError(f"{path} lacks a part of its record: {error}") from error


def _read_stacking(root: Any, facts: ContainerFacts) -> ContainerFacts:
    slots = StorageOptions.from_description(storage_from_json(read_text(root, "run"))).slots
    sources = None
    if h5a.exists(root, b"sources"):
        listed = json.loads(read_text(root, "sources"))
        sources = [(str(file), range(first, end)) for file, first, end in listed]
    lengths = read_column(root, "lengths") if h5a.exists(root, b"lengths") else None
    return facts._replace(slots=slots, sources=sources, lengths=lengths)
