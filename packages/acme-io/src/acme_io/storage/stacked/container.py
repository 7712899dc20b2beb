"""The container of stacked results: a virtual dataset over batch files.

If a run has many batch files, they are consolidated into fewer first, because HDF5 opens each of
them to read the dataset.
"""

import logging
from collections.abc import Sequence
from typing import Any

from acme_io import layout
from acme_io.files.header import FileHeader
from acme_io.hdf5.container import external_links, write_container
from acme_io.records.call_record import DONE
from acme_io.records.run_record import RunFiles
from acme_io.records.serialization import dumps
from acme_io.storage.background import BackgroundWork
from acme_io.storage.call_index import CallIndex, calls_of
from acme_io.storage.stacked.copying import RowCopier, SourceFiles, records_in
from acme_io.storage.stacked.rows import RowSource, virtual_stack, write_attributes
from acme_io.values.result_shape import Slots

logger = logging.getLogger(__name__)


# HDF5 reads the rows of a source that it cannot open as fill values, without an error; one reason
# is the limit of open files. 128 is below the usual soft limits (Linux 1024, macOS 256), with room
# for the other files of the reading program.
MOST_SOURCES = 128
"""Greatest number of source files of a virtual dataset."""

# A block yields one file of its own, and at most one batch file crosses each border between
# blocks: together no more than `MOST_SOURCES`.
BLOCKS = MOST_SOURCES // 2
"""Number of blocks of calls within which batch files are consolidated."""


class StackedFinisher(RowCopier):
    """Consolidates many batch files in the background; maps all of them into one dataset."""

    layout = "stacked"

    def __init__(self, run: RunFiles, index: CallIndex, slots: Slots) -> None:
        super().__init__(run, index, slots)
        size = max(-(-index.n_calls // BLOCKS), 1)
        starts = range(0, index.n_calls, size)
        self._blocks = [range(a, min(a + size, index.n_calls)) for a in starts]
        self._size = size
        # Calls of each block without a receipt so far. A retry must not count its call twice, so
        # the counted ones are marked.
        self._pending = [len(block) for block in self._blocks]
        self._counted = bytearray(index.n_calls)
        self._current_files: set[str] = set()
        self._background = BackgroundWork("acme-io consolidation")

    def taken(self, calls: Sequence[int]) -> None:
        """Consolidate complete blocks in the background, once there are many files."""
        for call in calls:
            if (file := self.index.files[call]) is not None:
                self._current_files.add(file)
            if not self._counted[call]:
                self._counted[call] = 1
                self._pending[call // self._size] -= 1
        if len(self._current_files) <= BLOCKS:
            return
        for number, block in enumerate(self._blocks):
            if self._pending[number] == 0:
                self._pending[number] = -1  # once per block; `finish` handles later retries
                self._background.submit(self._consolidate, block)

    def _consolidate(self, block: range) -> None:
        """Merge the batch files that lie within a block, if there are several."""
        inner = {
            file
            for file in self.index.row_files(block)
            if calls_of(file).start >= block.start and calls_of(file).stop <= block.stop
        }
        if len(inner) < 2:
            return
        within = [call for call in block if self.index.files[call] in inner]
        self._consolidate_calls(range(within[0], within[-1] + 1))

    def _consolidate_calls(self, calls: range) -> None:
        # The main thread accepts receipts meanwhile, which change the index: work on a snapshot.
        index = self.index.snapshot()
        file = layout.relative(
            layout.payload_folder(self.run.name), layout.payload_name(self.run.name, calls)
        )
        header = FileHeader("batch", self.run.stamp.run_id, calls)

        def describe(root: Any, sources: SourceFiles) -> None:
            records = records_in(calls, index, sources)
            texts = {"run": self.run.stamp.json, "calls": "\n".join(records)}
            write_attributes(root, texts)

        try:
            self._merge(layout.local(self.run.output_dir, file), header, index, describe)
        except (OSError, RuntimeError) as error:
            # A full disk, say, or another error of HDF5 (h5py raises RuntimeError for those without
            # an errno). All batch files still exist, and readers accept any number of them.
            logger.warning(
                "The batch files of calls %s to %s were not consolidated: %s",
                calls[0],
                calls[-1],
                error,
            )
            return
        # The old files stay until the container no longer refers to them (`_remove_unused`).
        self.index.move(calls, index, file)
        self._current_files.add(file)
        self._current_files -= self.index.unused()

    def finish(self) -> None:
        """Consolidate the remaining batch files if necessary and write the container."""
        self._background.settle()
        all_calls = range(self.index.n_calls)
        if len(self.index.row_files(all_calls)) > MOST_SOURCES:
            for block in self._blocks:
                self._consolidate(block)
        # Many retried batches may cross borders between blocks, and `_consolidate` leaves those
        # alone: copy whole blocks instead.
        if len(self.index.row_files(all_calls)) > MOST_SOURCES:
            for block in self._blocks:
                self._consolidate_calls(block)
        sources = [
            RowSource(file, calls_of(file), self.index.longest.get(file, 0), calls)
            for file, calls in self.index.spans(all_calls)
            if file is not None
        ]
        texts = {"sources": dumps([[one.file, one.calls.start, one.calls.stop] for one in sources])}
        extras = [
            (call, str(self.index.files[call]), f"/{layout.call_group(call)}")
            for call in all_calls
            if self.index.extras[call] and self.index.table.status[call] == DONE
        ]
        longest = self.index.longest_row(all_calls)

        def fill(root: Any) -> None:
            virtual_stack(root, self.slots, len(all_calls), longest, sources)
            external_links(extras)(root)

        about = self._description(texts, self._columns())
        write_container(self.container, "container", about, fill)
        self._remove_unused()

    def payload_files(self) -> list[str | None]:
        """Return the batch files and pickles, each once, in the order of calls."""
        return list(dict.fromkeys(file for file in self.index.files if file is not None))

    def close(self) -> None:
        """Cancel background work that has not begun and wait for the rest."""
        self._background.close()
