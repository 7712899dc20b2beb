"""How stacked rows become one dataset: virtual over batch files, or real in a single file."""

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from . import files, layout
from .checksum import fits
from .container import describe_container, external_links, write_container
from .errors import DamagedFileError
from .finishing import BaseFinisher
from .ledger import Ledger, calls_of
from .lines import write_records
from .payload import RunStamp
from .record import DONE, CallTable, dumps
from .seal import Seal
from .slots import Slots
from .stacking import (
    Run,
    StackedFile,
    as_stored,
    blank_rows,
    records_of,
    virtual_stack,
    write_attributes,
    write_stacked,
)

__all__ = ["StackFinisher", "StackSingleFinisher"]

logger = logging.getLogger(__name__)

Array = np.ndarray[Any, Any]

MOST_SOURCES = 128
"""Source files of a stacked dataset: HDF5 reads rows of sources that it cannot open, for want of
file handles, as fill values without a word."""

BLOCKS = MOST_SOURCES // 2
"""Stacked datasets are consolidated by blocks: a file a block, and at most one across a border."""

_PIECE = 16 << 20  # bytes of rows that are copied at once


class _Stacked(BaseFinisher):
    """What stacked results in batch files and in a single file have in common."""

    def __init__(
        self, output_dir: Path, name: str, stamp: RunStamp, ledger: Ledger, slots: Slots
    ) -> None:
        super().__init__(output_dir, name, stamp, ledger)
        self.slots = slots

    def _columns(self) -> dict[str, Array]:
        if self.slots.varying_axis is None:
            return {}
        return {"lengths": np.array(self.ledger.lengths, "<i8")}

    def _merge(self, path: Path, seal: Seal, ledger: Ledger, describe: Any) -> None:
        """Copy the rows of `seal.calls` from wherever they lie into one file."""
        calls = seal.calls
        longest = ledger.longest_row(calls)
        sources: dict[str, StackedFile] = {}
        try:
            for file in ledger.row_files(calls):
                sources[file] = StackedFile(layout.local(self.output_dir, file), self.slots)
            extras = [
                (call, sources[str(ledger.files[call])])
                for call in calls
                if ledger.extras[call] and ledger.status[call] == DONE
            ]
            write_stacked(
                path,
                seal,
                self.slots,
                longest,
                lambda: self._rows(calls, longest, ledger, sources),
                lambda root: describe(root, sources),
                extras,
            )
        finally:
            for source in sources.values():
                source.close()

    def _rows(
        self, calls: range, longest: int, ledger: Ledger, sources: dict[str, StackedFile]
    ) -> Iterator[tuple[range, Array | None]]:
        row = int(np.prod(self.slots.full_shape(1, longest))) * self.slots.dtype.itemsize
        step = max(_PIECE // max(row, 1), 1)
        for file, stretch in ledger.stretches(calls):
            for start in range(stretch.start, stretch.stop, step):
                piece = range(start, min(start + step, stretch.stop))
                rows = (
                    None if file is None else self._checked(sources[file], piece, longest, ledger)
                )
                yield piece, rows

    def _checked(self, source: StackedFile, calls: range, longest: int, ledger: Ledger) -> Array:
        """Read rows, compare them with what the workers wrote, pad them."""
        slots, lengths = self.slots, ledger.lengths
        stored = source.rows(calls)
        for at, call in enumerate(calls):
            row = (
                np.take(stored, at, axis=slots.stacking_axis) if slots.stacking_axis else stored[at]
            )
            if slots.varying_axis is not None:
                axis = slots.varying_axis - (slots.varying_axis > slots.stacking_axis)
                row = row[(slice(None),) * axis + (slice(0, lengths[call]),)]
            if not fits(ledger.checksums[call] & 0xFFFFFFFF, [as_stored(row)]):
                raise DamagedFileError(
                    f"The result of call {call} in {source.path} changed after it was written."
                )
        return self._padded(stored, longest)

    def _padded(self, rows: Array, longest: int) -> Array:
        axis = self.slots.varying_axis
        if axis is None or rows.shape[axis] == longest:
            return rows
        keep = [slice(0, n) for n in rows.shape]
        keep[axis] = slice(0, min(rows.shape[axis], longest))
        padded = blank_rows(self.slots, rows.shape[self.slots.stacking_axis], longest)
        padded[tuple(keep)] = rows[tuple(keep)]
        return padded


class StackFinisher(_Stacked):
    """Batch files, consolidated if they are many; the container maps them into one dataset."""

    layout = "stacked"

    def __init__(
        self, output_dir: Path, name: str, stamp: RunStamp, ledger: Ledger, slots: Slots
    ) -> None:
        super().__init__(output_dir, name, stamp, ledger, slots)
        size = max(-(-ledger.n_calls // BLOCKS), 1)
        starts = range(0, ledger.n_calls, size)
        self._blocks = [range(a, min(a + size, ledger.n_calls)) for a in starts]
        self._size = size
        self._left = [len(block) for block in self._blocks]
        self._known = bytearray(ledger.n_calls)
        self._live: set[str] = set()
        self._pool: ThreadPoolExecutor | None = None
        self._work: list[Future[None]] = []

    def taken(self, calls: Sequence[int]) -> None:
        """Consolidate blocks that are complete, once there are many files."""
        for call in calls:
            if (file := self.ledger.files[call]) is not None:
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
            for file in self.ledger.row_files(block)
            if calls_of(file).start >= block.start and calls_of(file).stop <= block.stop
        }
        if len(inner) < 2:
            return
        within = [call for call in block if self.ledger.files[call] in inner]
        self._consolidate_calls(range(within[0], within[-1] + 1))

    def _consolidate_calls(self, calls: range) -> None:
        # Receipts come in while this runs, perhaps in another thread: work on a snapshot.
        ledger = self.ledger.snapshot()
        file = layout.relative(
            layout.payload_folder(self.name), layout.payload_name(self.name, calls)
        )
        seal = Seal("batch", self.stamp.run_id, calls)

        def describe(root: Any, sources: dict[str, StackedFile]) -> None:
            records = _records(calls, ledger, sources)
            texts = {"run": self.stamp.json, "calls": "\n".join(records)}
            write_attributes(root, texts)

        try:
            self._merge(layout.local(self.output_dir, file), seal, ledger, describe)
        except OSError as error:
            # The batch files are all there, and the reader takes any number of them.
            logger.warning("Calls %s to %s stay in several files: %s", calls[0], calls[-1], error)
            return
        self.ledger.move(calls, ledger, file)
        self._live.add(file)
        self._live -= self.ledger.unused()

    def _settle(self) -> None:
        """Wait for the work that is going on."""
        work, self._work = self._work, []
        for future in work:
            future.result()
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def finish(self, table: CallTable) -> None:
        """Consolidate what is left and write the container."""
        self._settle()
        everything = range(self.ledger.n_calls)
        if len(self.ledger.row_files(everything)) > MOST_SOURCES:
            for block in self._blocks:
                self._consolidate(block)
        if len(self.ledger.row_files(everything)) > MOST_SOURCES:  # many retries across borders
            for block in self._blocks:
                self._consolidate_calls(block)
        full = self.ledger.completed(table)
        runs = [
            Run(file, calls_of(file), self.ledger.longest.get(file, 0), calls)
            for file, calls in self.ledger.stretches(everything)
            if file is not None
        ]
        texts = {"sources": dumps([[r.file, r.calls.start, r.calls.stop] for r in runs])}
        extras = [
            (call, str(self.ledger.files[call]), f"/{layout.call_group(call)}")
            for call in everything
            if self.ledger.extras[call] and full.status[call] == DONE
        ]
        longest = self.ledger.longest_row(everything)

        def fill(root: Any) -> None:
            virtual_stack(root, self.slots, len(everything), longest, runs)
            external_links(extras)(root)

        about = self._about(full, texts, self._columns())
        write_container(self.container, "container", about, fill)
        self._remove_unused()

    def payload_files(self) -> list[str | None]:
        """Return the batch files in the order of calls, and the pickles among them."""
        return list(dict.fromkeys(file for file in self.ledger.files if file is not None))

    def close(self) -> None:
        """Drop work that has not begun; wait for what is going on."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


class StackSingleFinisher(_Stacked):
    """Part files of stacked rows, put together in one file at the end."""

    layout = "stacked"

    def finish(self, table: CallTable) -> None:
        """Write the container and remove the parts."""
        self.write(self.container, table)
        files.remove_folder(self.output_dir / layout.parts_folder(self.name))

    def write(self, path: Path, table: CallTable) -> None:
        """Write all rows, wherever they lie, into one file."""
        full = self.ledger.completed(table)
        everything = range(self.ledger.n_calls)
        about = self._about(full, {}, self._columns())

        ledger = self.ledger.snapshot()

        def describe(root: Any, sources: dict[str, StackedFile]) -> None:
            describe_container(root, about)
            records = _records(everything, ledger, sources)
            write_records(root, len(full), dict(enumerate(records)))

        seal = Seal("container", self.stamp.run_id, everything)
        self._merge(path, seal, ledger, describe)
        files.flush_folder(path.parent)

    def payload_files(self) -> list[str | None]:
        """Return the container: it holds everything."""
        return [layout.container_name(self.name)]


def _records(calls: range, ledger: Ledger, sources: dict[str, StackedFile]) -> list[str]:
    """Collect the records of calls from the files that hold their rows."""
    lines = {file: records_of(source) for file, source in sources.items()}
    records = []
    for call in calls:
        file = ledger.files[call]
        here = file in lines and ledger.status[call] == DONE
        records.append(lines[str(file)][call - sources[str(file)].calls.start] if here else "")
    return records
