"""The state of a run from the table in its container, and from the files that changed since.

A payload that has not changed since the container was written is not opened: the checked table of
the container has all that its record says. Every other payload is read, as `acme_io.runs.scan` does
for runs without a container. Bits that flipped on the disk are found by `verify` and by reading.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from acme_io import layout
from acme_io.errors import UnknownFileError
from acme_io.hdf5.checked_file import CheckedFile
from acme_io.hdf5.objects import has_attribute, member_names, read_column
from acme_io.hdf5.stored_table import StoredTable
from acme_io.records.call_record import PICKLED
from acme_io.records.serialization import run_from_json, storage_from_json
from acme_io.runs.scan import STORED, Scan, parsed_kind, readable, take
from acme_io.storage.call_index import CallIndex
from acme_io.storage.container_facts import ContainerFacts, read_facts
from acme_io.storage.options import StorageOptions
from acme_io.storage.registry import way_for

__all__ = ["scan_from_container"]


def scan_from_container(output_dir: Path, name: str) -> Scan | None:
    """Find the state of a run from its container and the files that changed since.

    Parameters
    ----------
    output_dir : pathlib.Path
        The output directory.
    name : str
        The cleaned function name.

    Returns
    -------
    Scan or None
        None if there is no container to rely on; then all payloads have to be read.
    """
    for file, kind in (
        (layout.container_name(name), "container"),
        (layout.record_name(name), "record"),
    ):
        try:
            return _scan(output_dir, name, file, kind)
        except FileNotFoundError:
            continue
        except (OSError, UnknownFileError, KeyError, ValueError, TypeError):
            return None
    return None


def _scan(output_dir: Path, name: str, file: str, kind: str) -> Scan | None:
    path = output_dir / file
    modified = os.stat(path).st_mtime_ns
    with CheckedFile(path) as checked:
        # `f_record.h5` is the record of `f`, or the container of a function `f_record`.
        if checked.header.kind != kind:
            return None
        facts = read_facts(checked)
        table = facts.table
        if not isinstance(table, StoredTable):
            return None
        table.read_all()
        result = _from_table(facts, table, name, checked.root)
    if result is None:
        return None
    # Both are looked at, because clocks of client and file server may differ, and a container that
    # was copied back from elsewhere is newer than its content.
    written = min(modified, int(table.finished * 1e9))
    # A set, not the calls of each file: there may be a file per call.
    expected = set(result.index.files) - {file, None}
    to_read, unchanged = [], True
    for one in _listed(output_dir, name, file):
        if one.changed < written and one.path in expected:
            expected.remove(one.path)
        elif (form := parsed_kind(one.name, name, one.folder)) is not None:
            to_read.append((one.path, form))
    if expected or to_read:
        unchanged = False
        files = enumerate(result.index.files)
        result.index.forget([call for call, held in files if held in expected])
    for file_path, form in to_read:
        found = list(readable(output_dir, file_path, form, result.damaged))
        # Which of several runs counts is decided over all files.
        if any(two.header.run != result.run.run_id for two in found):
            return None
        take(result, found)
    result.complete = unchanged and bool(np.isin(result.index.table.status, STORED).all())
    return result


def _from_table(facts: ContainerFacts, table: StoredTable, name: str, root: Any) -> Scan | None:
    """Return the state that the container describes; None if it is not that of a run as stored."""
    options = StorageOptions.from_description(storage_from_json(table.run_json))
    own_rows = facts.layout in ("single", "stacked") and facts.sources is None
    merged = way_for(options).layout != facts.layout or own_rows != options.single_file
    # Rows of different lengths: the shape of each file is known from its records only.
    if merged or (options.slots is not None and options.slots.varying_axis is not None):
        return None
    run = run_from_json(table.run_json)
    if run.run_id != facts.run_id or run.n_calls != len(table):
        return None
    index = CallIndex(table.copy())
    status = index.table.status
    if own_rows:
        index.files = [facts.path.name] * len(table)
    for file, calls in facts.sources or ():
        index.files[calls.start : calls.stop] = [file] * len(calls)
    one_file_each = facts.layout in ("links", "pickles")
    folder = "" if options.single_file or options.pickle else layout.payload_folder(name)
    own_files = np.full(len(table), one_file_each) | (status == PICKLED)
    pickled = ((status == PICKLED) | options.pickle).tolist()
    for call in np.flatnonzero(own_files).tolist():
        as_pickle = pickled[call]
        own = layout.pickle_name(name, call) if as_pickle else layout.payload_name(name, _one(call))
        index.files[call] = layout.relative(folder, own)
    for call in np.flatnonzero(~np.isin(status, STORED)).tolist():
        index.files[call] = None
    if facts.layout == "stacked":
        _mark_extras(index, root)
    if has_attribute(root, "arguments"):
        index.arguments = read_column(root, "arguments", "<u8")
        if len(index.arguments) != len(table):
            return None
    return Scan(run, table.run_json, options, index)


def _one(call: int) -> range:
    return range(call, call + 1)


def _mark_extras(index: CallIndex, root: Any) -> None:
    """Mark the calls with further return values: stacked containers have a group for each."""
    prefix = layout.call_group(0).removesuffix("0")
    for member in member_names(root):
        number = member.removeprefix(prefix)
        if number != member and number.isdigit():
            index.extras[int(number)] = 1


class _Listed(NamedTuple):
    path: str
    folder: str
    name: str
    changed: int


def _listed(output_dir: Path, name: str, container: str) -> Iterator[_Listed]:
    """Yield the files that may be payloads, with the time of their last change in nanoseconds."""
    for folder in ("", layout.payload_folder(name), layout.parts_folder(name)):
        try:
            entries = os.scandir(output_dir / folder)
        except OSError:  # most runs lack one of the folders
            continue
        with entries:
            for entry in entries:
                if not folder and entry.name == container:
                    continue
                try:
                    state = entry.stat()
                except OSError:  # removed meanwhile
                    continue
                # The change time cannot be set by a program. It also moves when a file gets this
                # name, whatever the age of its content; on Windows it is the time of creation.
                changed = max(state.st_mtime_ns, state.st_ctime_ns)
                yield _Listed(layout.relative(folder, entry.name), folder, entry.name, changed)
