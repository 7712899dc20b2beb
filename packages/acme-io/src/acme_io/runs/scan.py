"""What lies in a folder: payloads found one by one, each with its own record.

This is how a run is read, rebuilt or resumed that never came to write its container. Nothing is
taken from file names but which files to look at: run, calls and results are what the files say.
"""

import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from h5py import h5a

from acme_io import layout
from acme_io.errors import UnknownFileError
from acme_io.files.header import FileHeader
from acme_io.files.pickle_file import read_pickle_record
from acme_io.hdf5.checked_file import CheckedFile
from acme_io.hdf5.objects import read_text
from acme_io.records.call_record import call_from_json
from acme_io.records.call_table import CallTable
from acme_io.records.run_record import RunInfo, run_from_json, storage_from_json
from acme_io.records.status import DONE, FAILED, PICKLED, STATUS_NAMES
from acme_io.storage.call_index import CallIndex
from acme_io.storage.options import StorageOptions

__all__ = ["Finished", "Scan", "finished_calls", "names_in", "payloads_in", "scan"]

logger = logging.getLogger(__name__)

_STORED = (DONE, PICKLED)


class _Found(NamedTuple):
    file: str
    header: FileHeader
    run_json: str
    lines: list[str]


@dataclass
class Scan:
    """What the payloads in a folder say about one run.

    Attributes
    ----------
    run : RunInfo
        The run; where files of several runs lie about, the one that was started last.
    run_json : str
        Its identity as the files carry it.
    options : StorageOptions
        How its results are stored.
    index : CallIndex
        Where the result of each call lies, and the table of the calls as far as the payloads know.
    records : dict of int to dict
        The records of the calls.
    damaged : dict of str to str
        Files that cannot be used, with the reason.
    """

    run: RunInfo
    run_json: str
    options: StorageOptions
    index: CallIndex
    records: dict[int, dict[str, Any]] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)


class Finished(NamedTuple):
    """Calls of an earlier run that are finished: what resuming it builds on.

    Attributes
    ----------
    run : RunInfo
        The run's identity.
    options : StorageOptions
        How its results are stored.
    records : dict of int to dict
        The record of each finished call, with its arguments summarised by `describe`.
    """

    run: RunInfo
    options: StorageOptions
    records: dict[int, dict[str, Any]]


def finished_calls(output_dir: str | os.PathLike[str], name: str) -> Finished | None:
    """Find the calls of an earlier run whose results are there and whole.

    Parameters
    ----------
    output_dir : path_like
        The output directory.
    name : str
        The cleaned function name.

    Returns
    -------
    Finished or None
        None if there is nothing of this function. A call counts as finished when its own record
        says so; whether function, options and arguments are still the same is for the caller to
        compare.
    """
    try:
        found = scan(Path(output_dir).absolute(), name)
    except (UnknownFileError, FileNotFoundError):
        return None
    done = {
        call: r for call, r in found.records.items() if found.index.table.status[call] in _STORED
    }
    return Finished(found.run, found.options, done)


def names_in(folder: Path) -> list[str]:
    """Names of the functions that have payloads, parts or pickles in an output directory."""
    names = set()
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if entry.is_dir():
                names.add(layout.folder_name(entry.name))
            elif layout.folder_name(folder.name) is None:
                parsed = layout.parse_payload_name(entry.name)
                names.add(parsed.name if parsed is not None and parsed.kind == "pickle" else None)
    return sorted(name for name in names if name is not None)


def scan(output_dir: Path, name: str, wanted: Callable[[str], bool] | None = None) -> Scan:
    """Read the records of all payloads of a function in a folder.

    Parameters
    ----------
    output_dir : pathlib.Path
        The output directory.
    name : str
        The cleaned function name.
    wanted : callable, optional
        Gets the path of a payload, relative to the output directory; those for which it is false
        are not opened.

    Raises
    ------
    UnknownFileError
        There is no usable payload.
    """
    damaged: dict[str, str] = {}
    found = [
        one
        for file, kind in payloads_in(output_dir, name)
        if wanted is None or wanted(file)
        for one in _readable(output_dir, file, kind, damaged)
    ]
    if not found:
        reasons = "".join(f" {reason}" for reason in list(damaged.values())[:3])
        raise UnknownFileError(f"{output_dir} holds no whole results of {name!r}.{reasons}")
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
    workers: dict[str, int] = {}
    for one in found:
        if one.header.run == run_id:
            _take(result, one, workers)
    result.index.table.workers = list(workers)
    return result


def payloads_in(output_dir: Path, name: str) -> Iterator[tuple[str, str]]:
    """List what may hold results: paths relative to the output directory, and kinds of file."""
    for folder in ("", layout.payload_folder(name), layout.parts_folder(name)):
        for file_name in _listed(output_dir / folder):
            parsed = layout.parse_payload_name(file_name)
            if not folder and file_name == layout.container_name(name):
                yield layout.relative(folder, file_name), "container"
            elif parsed is None or parsed.name != name or (not folder and parsed.kind != "pickle"):
                continue
            else:
                yield layout.relative(folder, file_name), parsed.kind


def _readable(output_dir: Path, file: str, kind: str, damaged: dict[str, str]) -> Iterator[_Found]:
    try:
        yield from _read(output_dir, file, kind)
    except (OSError, UnknownFileError, KeyError, ValueError) as error:
        damaged[file] = str(error)


def _listed(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _read(output_dir: Path, file: str, kind: str) -> Iterator[_Found]:
    path = layout.local(output_dir, file)
    if kind == "pickle":
        header, record, run_json = read_pickle_record(path, check=True)
        yield _Found(file, header, run_json, [record])
        return
    with CheckedFile(path) as checked:
        run_json = read_text(checked.root, "run")
        if kind == "container" and not holds_its_run(checked, run_json):
            return  # it only points to payloads, which speak for themselves, or is a copy of them
        lines = read_text(checked.root, "calls").rstrip(" ").split("\n")
        yield _Found(file, checked.header, run_json, lines)


def holds_its_run(checked: CheckedFile, run_json: str) -> bool:
    """Whether a container is the single file of its run, not one that points to files or a copy."""
    real = h5a.exists(checked.root, b"calls") and read_text(checked.root, "layout") != "alike"
    return real and bool(storage_from_json(run_json).get("single_file"))


def _take(result: Scan, found: _Found, workers: dict[str, int]) -> None:
    """Enter the calls of one file, unless a newer evaluation of them is known."""
    for call, line in zip(found.header.calls, found.lines, strict=False):
        if not line or call >= result.run.n_calls:
            continue
        record = call_from_json(line)
        if record["status"] == STATUS_NAMES[PICKLED] and found.header.kind != "pickle":
            continue  # its result is in the pickle, which has a record of its own
        longest = result.index.longest
        longest[found.file] = max(longest.get(found.file, 0), int(record.get("length", 0)))
        known = result.records.get(call)
        if known is None or _age(record) > _age(known):
            result.records[call] = record
            _enter(result, found, call, record, workers)


def _age(record: dict[str, Any]) -> tuple[bool, int, float]:
    """Order evaluations of a call: one with a result beats one without, then the newest."""
    stored = STATUS_NAMES.index(record["status"]) in _STORED
    return (stored, int(record.get("attempt", 1)), float(record.get("started", 0.0)))


def _enter(
    result: Scan, found: _Found, call: int, record: dict[str, Any], workers: dict[str, int]
) -> None:
    index, table = result.index, result.index.table
    status = STATUS_NAMES.index(record["status"])
    table.status[call] = status
    index.files[call] = found.file if status in _STORED else None
    table.attempts[call] = record.get("attempt", 1)
    table.started[call], table.seconds[call] = record["started"], record["seconds"]
    table.peak_memory[call] = record["peak_memory"]
    table.worker[call] = workers.setdefault(str(record["worker"]), len(workers))
    table.failures.pop(call, None)
    if status == FAILED and "failure" in record:
        table.failures[call] = record["failure"]
    if status in _STORED:
        table.checksum[call] = int(record.get("checksum", found.header.checksum))
        index.lengths[call] = int(record.get("length", 0))
        several = len(record.get("values", ())) > 1
        index.extras[call] = several and _is_stacked(found.header, result)


def _is_stacked(header: FileHeader, result: Scan) -> bool:
    """Whether a file holds stacked rows."""
    return result.options.slots is not None and header.kind in ("batch", "part", "container")


def keep_only(result: Scan, calls: Iterable[int]) -> None:
    """Forget every call but these."""
    kept = set(calls)
    others = [call for call in range(result.run.n_calls) if call not in kept]
    result.index.forget(others)
    for call in others:
        result.records.pop(call, None)
