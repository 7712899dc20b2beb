"""The container of stacked results: a virtual dataset over batch files.

Many batch files are consolidated first: HDF5 has to open each of them to read the dataset.
"""

import logging
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from acme_io import layout
from acme_io.files.header import FileHeader
from acme_io.hdf5.container import external_links, write_container
from acme_io.records.json_line import dumps
from acme_io.records.status import DONE
from acme_io.storage.call_index import CallIndex, calls_of
from acme_io.storage.run_files import RunFiles
from acme_io.storage.stacked.copying import RowCopier, records_in
from acme_io.storage.stacked.rows import (
    Run,
    StackedFile,
    virtual_stack,
    write_attributes,
)
from acme_io.values.result_shape import Slots

logger = logging.getLogger(__name__)


MOST_SOURCES = 128
"""Source files of a stacked dataset: HDF5 reads rows of sources that it cannot open, for want of
file handles, as fill values without a word."""


BLOCKS = MOST_SOURCES // 2
"""Stacked datasets are consolidated by blocks: a file a block, and at most one across a border."""


class StackedFinisher(RowCopier):
    """Batch files, consolidated if they are many; the container maps them into one dataset."""

    layout = "stacked"

    def __init__(self, run: RunFiles, index: CallIndex, slots: Slots) -> None:
        super().__init__(run, index, slots)
        size = max(-(-index.n_calls // BLOCKS), 1)
        starts = range(0, index.n_calls, size)
        self._blocks = [range(a, min(a + size, index.n_calls)) for a in starts]
        self._size = size
        self._left = [len(block) for block in self._blocks]
        self._known = bytearray(index.n_calls)
        self._live: set[str] = set()
        self._pool: ThreadPoolExecutor | None = None
        self._work: list[Future[None]] = []

    def taken(self, calls: Sequence[int]) -> None:
        """Consolidate blocks that are complete, once there are many files."""
        for call in calls:
            if (file := self.index.files[call]) is not None:
                self._live.add(file)
            if not self._known[call]:
                self._known[call] = 1
                self._left[call // self._size] -= 1
        if len(self._live) <= BLOCKS:
            return
        for number, block in enumerate(self._blocks):
            if self._left[number] == 0:
                self._left[number] = -1  # once; what is retried later is seen to at the end
                self._submit(block)

    def _submit(self, block: range) -> None:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="acme-io consolidation")
        self._work.append(self._pool.submit(self._consolidate, block))

    def _consolidate(self, block: range) -> None:
        """Put the rows of a block into one file, if they are in several of its own."""
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
        # Receipts come in while this runs, perhaps in another thread: work on a snapshot.
        index = self.index.snapshot()
        file = layout.relative(
            layout.payload_folder(self.run.name), layout.payload_name(self.run.name, calls)
        )
        header = FileHeader("batch", self.run.stamp.run_id, calls)

        def describe(root: Any, sources: dict[str, StackedFile]) -> None:
            records = records_in(calls, index, sources)
            texts = {"run": self.run.stamp.json, "calls": "\n".join(records)}
            write_attributes(root, texts)

        try:
            self._merge(layout.local(self.run.output_dir, file), header, index, describe)
        except OSError as error:
            # The batch files are all there, and the reader takes any number of them.
            logger.warning("Calls %s to %s stay in several files: %s", calls[0], calls[-1], error)
            return
        self.index.move(calls, index, file)
        self._live.add(file)
        self._live -= self.index.unused()

    def _settle(self) -> None:
        """Wait for the work that is going on."""
        work, self._work = self._work, []
        for future in work:
            future.result()
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def finish(self) -> None:
        """Consolidate what is left and write the container."""
        self._settle()
        everything = range(self.index.n_calls)
        if len(self.index.row_files(everything)) > MOST_SOURCES:
            for block in self._blocks:
                self._consolidate(block)
        if len(self.index.row_files(everything)) > MOST_SOURCES:  # many retries across borders
            for block in self._blocks:
                self._consolidate_calls(block)
        runs = [
            Run(file, calls_of(file), self.index.longest.get(file, 0), calls)
            for file, calls in self.index.stretches(everything)
            if file is not None
        ]
        texts = {"sources": dumps([[r.file, r.calls.start, r.calls.stop] for r in runs])}
        extras = [
            (call, str(self.index.files[call]), f"/{layout.call_group(call)}")
            for call in everything
            if self.index.extras[call] and self.index.table.status[call] == DONE
        ]
        longest = self.index.longest_row(everything)

        def fill(root: Any) -> None:
            virtual_stack(root, self.slots, len(everything), longest, runs)
            external_links(extras)(root)

        about = self._description(texts, self._columns())
        write_container(self.container, "container", about, fill)
        self._remove_unused()

    def payload_files(self) -> list[str | None]:
        """Return the batch files in the order of calls, and the pickles among them."""
        return list(dict.fromkeys(file for file in self.index.files if file is not None))

    def close(self) -> None:
        """Drop work that has not begun; wait for what is going on."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None
