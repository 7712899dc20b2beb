"""Stacked results in a single file: the container with the rows themselves."""

from array import array
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from acme_io import layout
from acme_io.files import atomic
from acme_io.files.header import FileHeader
from acme_io.hdf5.container import describe_container
from acme_io.hdf5.record_lines import write_records
from acme_io.records.call_record import DONE
from acme_io.records.call_table import CallTable
from acme_io.records.run_record import RunFiles, RunStamp
from acme_io.storage.call_index import CallIndex
from acme_io.storage.stacked.copying import RowCopier, SourceFiles, records_in
from acme_io.storage.stacked.rows import StackedFile
from acme_io.values.result_shape import Slots


class StackedSingleFinisher(RowCopier):
    """Merges part files of stacked rows into the container when the run ends.

    Parts are not copied while the run goes on: with a varying axis, the shape of the dataset is
    known only at its end.
    """

    layout = "stacked"

    def finish(self) -> None:
        """Write the container and remove the part files."""
        self.write(self.container)
        atomic.remove_folder(self.run.output_dir / layout.parts_folder(self.run.name))

    def write(self, path: Path) -> None:
        """Write the rows of all files in the index into one file."""
        all_calls = range(self.index.n_calls)
        about = self._description({}, self._columns())
        index = self.index.snapshot()

        def describe(root: Any, sources: SourceFiles) -> None:
            # No attribute `sources`: that tells readers the rows are in this file.
            describe_container(root, about)
            records = records_in(all_calls, index, sources)
            write_records(root, len(all_calls), dict(enumerate(records)))

        header = FileHeader("container", self.run.stamp.run_id, all_calls)
        self._merge(path, header, index, describe)
        atomic.flush_folder(path.parent)

    def payload_files(self) -> list[str | None]:
        """Return the container, which holds all results."""
        return [layout.container_name(self.run.name)]


class StackedResults(Protocol):
    """The part of a source of stacked results that merging needs."""

    slots: Slots
    sources: list[tuple[str, range]]
    name: str

    @property
    def path(self) -> Path:
        """The container."""

    @property
    def lengths(self) -> np.ndarray[Any, Any] | None:
        """Length of each row along a varying axis."""

    @property
    def run_id(self) -> str:
        """The run's id."""

    @property
    def run_json(self) -> str:
        """The record of the run."""

    def opened(self, file: str) -> StackedFile:
        """Open a source file."""


def merge_stacked(source: StackedResults, target: Path, table: CallTable) -> None:
    """Copy stacked results into one file with an ordinary dataset.

    Parameters
    ----------
    source : StackedResults
        The results.
    target : pathlib.Path
        The file to write.
    table : CallTable
        The call table of the copy.
    """
    # The finisher works from an index; rebuild the one that the run had.
    index = CallIndex(table)
    if source.lengths is not None:
        index.lengths = array("q", source.lengths.tolist())
    for file, calls in source.sources:
        for call in calls:
            index.files[call] = file if table.status[call] == DONE else None
    # Containers do not record which calls have further values; their groups tell.
    for file in dict.fromkeys(file for file, _ in source.sources):
        opened = source.opened(file)
        for call, held in enumerate(index.files):
            if held == file and layout.call_group(call) in opened:
                index.extras[call] = 1
    run = RunFiles(source.path.parent, source.name, RunStamp(source.run_id, source.run_json))
    StackedSingleFinisher(run, index, source.slots).write(target)
