"""Scan an output directory: find its payloads, and read the record in each.

A run that ended before it wrote its container is read, rebuilt and resumed this way. File names
only select the files to open; run, calls and results come from the records in the files.
"""

import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from acme_io import layout
from acme_io.errors import UnknownFileError
from acme_io.files.header import FileHeader
from acme_io.files.pickle_file import read_pickle_record
from acme_io.hdf5.checked_file import CheckedFile
from acme_io.hdf5.objects import has_attribute, read_text
from acme_io.records.argument_text import text_digest
from acme_io.records.call_record import DONE, FAILED, MISSING, PICKLED, STATUS_NAMES
from acme_io.records.call_table import CallTable
from acme_io.records.run_record import RunInfo
from acme_io.records.serialization import (
    call_from_json,
    dumps,
    run_from_json,
    storage_from_json,
)
from acme_io.storage.call_index import CallIndex
from acme_io.storage.options import StorageOptions

__all__ = ["Scan", "names_in", "parsed_kind", "payloads_in", "scan"]

logger = logging.getLogger(__name__)

# Status of calls with a result.
STORED = (DONE, PICKLED)


class Found(NamedTuple):
    """A file with records of calls."""

    file: str
    header: FileHeader
    run_json: str
    lines: list[str]


@dataclass
class Scan:
    """The records of one run, collected from the payloads in a folder.

    Attributes
    ----------
    run : RunInfo
        The run; with files of several runs, the one that started last.
    run_json : str
        Its identity as JSON, copied from the files.
    options : StorageOptions
        How its results are stored.
    index : CallIndex
        The file of each call's result, and the table of the calls as far as payloads record it.
    arguments : dict of int to str
        The arguments on record in the files that were read, as JSON (`recorded_text`).
    damaged : dict of str to str
        Unusable files, as paths relative to the output directory, with the reason.
    complete : bool
        Whether all calls have results and the container has exactly this state.
    """

    run: RunInfo
    run_json: str
    options: StorageOptions
    index: CallIndex
    arguments: dict[int, str] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)
    complete: bool = False


def names_in(folder: Path) -> list[str]:
    """Return the functions that have payloads, parts or pickles in an output directory."""
    names = set()
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if entry.is_dir():
                names.add(layout.folder_name(entry.name))
            # Pickles lie in the output directory itself if the run asked for them. Those in a
            # payload folder are found by the name of that folder.
            elif layout.folder_name(folder.name) is None:
                parsed = layout.parse_payload_name(entry.name)
                names.add(parsed.name if parsed is not None and parsed.kind == "pickle" else None)
    return sorted(name for name in names if name is not None)


def scan(output_dir: Path, name: str, wanted: Callable[[str], bool] | None = None) -> Scan:
    """Read the records of all payloads of a function in an output directory.

    Parameters
    ----------
    output_dir : pathlib.Path
        The output directory.
    name : str
        The cleaned function name.
    wanted : callable, optional
        Filter of payloads, called with the path relative to the output directory. Files for which
        it returns false are not opened.

    Raises
    ------
    UnknownFileError
        No payload is usable.
    """
    damaged: dict[str, str] = {}
    found = [
        one
        for file, kind in payloads_in(output_dir, name)
        if wanted is None or wanted(file)
        for one in readable(output_dir, file, kind, damaged)
    ]
    if not found:
        # Three reasons are enough to see the pattern; there may be one per call.
        reasons = "".join(f" {reason}" for reason in list(damaged.values())[:3])
        raise UnknownFileError(f"{output_dir} holds no usable results of {name!r}.{reasons}")
    # All files of a run have the same id, also after it was resumed: others belong elsewhere.
    runs = {one.header.run: one.run_json for one in found}
    run_id = max(runs, key=lambda known: run_from_json(runs[known]).started)
    for one in found:
        if one.header.run != run_id:
            damaged[one.file] = f"{one.file} belongs to another run, {one.header.run}."
    run_json = runs[run_id]
    run = run_from_json(run_json)
    options = StorageOptions.from_description(storage_from_json(run_json))
    result = Scan(run, run_json, options, CallIndex(CallTable(run.n_calls)))
    result.damaged = damaged
    take(result, (one for one in found if one.header.run == run_id))
    return result


def payloads_in(output_dir: Path, name: str) -> Iterator[tuple[str, str]]:
    """Yield possible payloads: the path relative to the output directory, and the kind of file."""
    for folder in ("", layout.payload_folder(name), layout.parts_folder(name)):
        for file_name in _listed(output_dir / folder):
            kind = parsed_kind(file_name, name, folder)
            if kind is not None:
                yield layout.relative(folder, file_name), kind


def parsed_kind(file_name: str, name: str, folder: str) -> str | None:
    """Return the kind of a possible payload in a folder of the output directory, or None."""
    # A finished single file is a payload too: resuming its run starts from it.
    if not folder and file_name == layout.container_name(name):
        return "container"
    parsed = layout.parse_payload_name(file_name)
    if parsed is None or parsed.name != name or (not folder and parsed.kind != "pickle"):
        return None
    return parsed.kind


def readable(output_dir: Path, file: str, kind: str, damaged: dict[str, str]) -> Iterator[Found]:
    """Read the records in a file; add it to `damaged` if it cannot be read."""
    try:
        yield from _read(output_dir, file, kind)
    except (OSError, UnknownFileError, KeyError, ValueError) as error:
        # One bad file must not hide the others; `rebuild` reports it.
        damaged[file] = str(error)


def _listed(folder: Path) -> list[str]:
    # Most runs lack one of the folders. Sorting makes a scan the same on every file system.
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _read(output_dir: Path, file: str, kind: str) -> Iterator[Found]:
    path = layout.local(output_dir, file)
    if kind == "pickle":
        header, record, run_json = read_pickle_record(path, check=True)
        yield Found(file, header, run_json, [record])
        return
    with CheckedFile(path) as checked:
        run_json = read_text(checked.root, "run")
        if kind == "container" and not holds_its_run(checked, run_json):
            return  # it holds links to payloads, which are scanned themselves, or a copy of them
        # One line per call. `run_file.padded` fills the attribute with blanks to whole 128 bytes.
        lines = read_text(checked.root, "calls").rstrip(" ").split("\n")
        yield Found(file, checked.header, run_json, lines)


def holds_its_run(checked: CheckedFile, run_json: str) -> bool:
    """Whether a container is the single file of its run, neither a set of links nor a copy."""
    # "alike" is the layout of merged files with one row per call. A merged single file passes: it
    # has everything that its original has.
    real = has_attribute(checked.root, "calls") and read_text(checked.root, "layout") != "alike"
    return real and bool(storage_from_json(run_json).get("single_file"))


def take(result: Scan, found: Iterable[Found]) -> None:
    """Add the calls of some files, unless a newer evaluation of them is known."""
    # The dict numbers workers in the order in which they are met; its keys become the table's list.
    workers = {worker: number for number, worker in enumerate(result.index.table.workers)}
    for one in found:
        _take(result, one, workers)
    result.index.table.workers = list(workers)


def _take(result: Scan, found: Found, workers: dict[str, int]) -> None:
    for call, line in zip(found.header.calls, found.lines, strict=False):
        # An empty line stands for a call without a record, such as one that never ran.
        if not line or call >= result.run.n_calls:
            continue
        record = call_from_json(line)
        if record["status"] == STATUS_NAMES[PICKLED] and found.header.kind != "pickle":
            continue  # the result is in a pickle, which has its own record
        longest = result.index.longest
        longest[found.file] = max(longest.get(found.file, 0), int(record.get("length", 0)))
        if _age(record) > _known_age(result.index.table, call):
            result.arguments[call] = dumps(record.get("arguments", {}))
            _enter(result, found, call, record, workers)


def _age(record: dict[str, Any]) -> tuple[bool, int, float]:
    """Return a sort key of evaluations of a call: with a result before without, then by age."""
    stored = STATUS_NAMES.index(record["status"]) in STORED
    return (stored, int(record.get("attempt", 1)), float(record.get("started", 0.0)))


def _known_age(table: CallTable, call: int) -> tuple[bool, int, float]:
    """Return the sort key of the evaluation in the table; that of an unknown one precedes all."""
    status = int(table.status[call])
    if status == MISSING:
        return (False, -1, 0.0)
    started = float(table.started[call])
    return (status in STORED, int(table.attempts[call]), 0.0 if started != started else started)


def _enter(
    result: Scan, found: Found, call: int, record: dict[str, Any], workers: dict[str, int]
) -> None:
    index, table = result.index, result.index.table
    status = STATUS_NAMES.index(record["status"])
    table.status[call] = status
    index.files[call] = found.file if status in STORED else None
    table.attempts[call] = record.get("attempt", 1)
    table.started[call], table.seconds[call] = record["started"], record["seconds"]
    table.peak_memory[call] = record["peak_memory"]
    table.worker[call] = workers.setdefault(str(record["worker"]), len(workers))
    # This evaluation replaces an older one, which may have failed.
    table.failures.pop(call, None)
    if status == FAILED and "failure" in record:
        table.failures[call] = record["failure"]
    if status in STORED:
        # Files with several calls record a checksum per call; else the file's own is the call's.
        table.checksum[call] = int(record.get("checksum", found.header.checksum))
        index.lengths[call] = int(record.get("length", 0))
        own_file = found.header.kind in ("payload", "pickle")
        index.arguments[call] = text_digest(result.arguments[call]) if own_file else 0
        several = len(record.get("values", ())) > 1
        index.extras[call] = several and _is_stacked(found.header, result)


def _is_stacked(header: FileHeader, result: Scan) -> bool:
    """Whether a file holds stacked rows."""
    return result.options.slots is not None and header.kind in ("batch", "part", "container")


def keep_only(result: Scan, calls: Iterable[int]) -> None:
    """Remove all calls but these from a scan."""
    dropped = np.ones(result.run.n_calls, bool)
    dropped[np.fromiter(calls, "i8")] = False
    others = np.flatnonzero(dropped).tolist()
    if others:
        result.complete = False
    result.index.forget(others)
    for call in others:
        result.arguments.pop(call, None)
