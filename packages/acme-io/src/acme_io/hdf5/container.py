"""Containers: the file through which a run is opened.

A container is made in memory and written at once. Its root group holds links, or the stacked
dataset, and nothing else. The record of the run is in attributes of the root group:

=============================  =====================================================================
`layout`                       `"links"`, `"stacked"`, `"single"` or `"pickles"`
`run`                          identity of the run, JSON
`status`, `started` …          the columns of `CallTable`, one row per call
`workers`, `failures`          names of the workers, errors of the failed calls, JSON
`finished`                     end of the run, seconds since 1970
=============================  =====================================================================
"""

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from acme_io import layout
from acme_io.files import atomic
from acme_io.files.header import FileHeader, block_size, complete_header
from acme_io.hdf5.objects import MemoryFile, container_properties, write_column, write_text
from acme_io.records.call_table import CallTable
from acme_io.records.run_record import RunStamp
from acme_io.records.serialization import dumps, failures_to_json

__all__ = ["Description", "write_container"]


class Description(NamedTuple):
    """The record of a run in its container, results apart."""

    stamp: RunStamp
    layout: str
    table: CallTable
    texts: Mapping[str, str] = {}
    columns: Mapping[str, Any] = {}

    def all_columns(self) -> dict[str, Any]:
        """Return the columns of the table and those added by a layout."""
        of_table = {
            name: getattr(self.table, name).astype(dtype, copy=False)
            for name, dtype in CallTable.COLUMNS
        }
        return {**of_table, **self.columns}


def write_container(
    path: Path, kind: str, about: Description, fill: Callable[[Any], None] = lambda root: None
) -> None:
    """Write a container whose root group holds links or virtual datasets but no data.

    Parameters
    ----------
    path : pathlib.Path
        The final name; the file is flushed to the disk before it gets it.
    kind : str
        `"container"` or `"record"`, for the header.
    about : Description
        The record of the run.
    fill : callable
        Creates the members of the root group, an `h5py.h5g.GroupID`.
    """
    # No large datasets, so no ranges; long columns count as part of the rest.
    block = block_size(0, about.stamp.run_id)
    new = MemoryFile(container_properties(block), dense=True)
    describe_container(new.root, about)
    fill(new.root)
    # Members and attributes are many small pieces: made in memory, they reach a network file
    # system in one write.
    pieces = [b"\0" * block, new.image()]
    header = FileHeader(kind, about.stamp.run_id, range(len(about.table)), block)
    complete_header(header, pieces, ())
    atomic.write_whole(path, [header.written(), *pieces[1:]], flush=True)
    # Flushing the file does not flush its name: after a power failure the rename could be undone.
    atomic.flush_folder(path.parent)


def describe_container(root: Any, about: Description) -> None:
    """Write the record into the attributes of the root group."""
    table = about.table
    write_text(root, "layout", about.layout.encode())
    write_text(root, "run", about.stamp.json.encode())
    for name, column in about.all_columns().items():
        write_column(root, name, column)
    write_text(root, "workers", dumps(table.workers).encode())
    write_text(root, "failures", failures_to_json(table.failures).encode())
    write_text(root, "finished", f"{time.time():.6f}".encode())
    for name, text in about.texts.items():
        write_text(root, name, text.encode())


def external_links(links: Iterable[tuple[int, str, str]]) -> Callable[[Any], None]:
    """Return a `fill` for `write_container` that links calls to groups of other files.

    Parameters
    ----------
    links : iterable of (int, str, str)
        Call number, path of the file relative to the container, and group in that file.
    """
    # HDF5 resolves a relative path against the folder of the container, so a whole output directory
    # can be moved; forward slashes work on Windows too.

    def fill(root: Any) -> None:
        for call, file, group in links:
            root.links.create_external(
                layout.call_group(call).encode(), file.encode("utf-8"), group.encode()
            )

    return fill
