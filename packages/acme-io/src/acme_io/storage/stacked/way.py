"""First return values stacked into one dataset, a row per call."""

from typing import TYPE_CHECKING

import numpy as np

from acme_io import layout
from acme_io.storage.options import StorageOptions
from acme_io.storage.run_files import RunFiles
from acme_io.storage.way import Way
from acme_io.values.result_shape import Slots

if TYPE_CHECKING:
    from acme_io.storage.call_index import CallIndex
    from acme_io.storage.container_facts import ContainerFacts
    from acme_io.storage.finisher import Finisher
    from acme_io.storage.sink import Sink
    from acme_io.storage.source import Source


class Stacked(Way):
    """Rows in one file per batch; the container maps them into one virtual dataset."""

    layout = "stacked"

    def sink(self, run: RunFiles, options: StorageOptions) -> "Sink":
        """Return what writes batch files on the workers."""
        from acme_io.storage.stacked.sink import StackedSink

        return StackedSink(run, _slots(options))

    def finisher(self, run: RunFiles, options: StorageOptions, index: "CallIndex") -> "Finisher":
        """Return what makes the virtual dataset."""
        from acme_io.storage.stacked.container import StackedFinisher

        return StackedFinisher(run, index, _slots(options))

    def source(self, facts: "ContainerFacts", name: str) -> "Source":
        """Return what reads rows from batch files or from the container itself."""
        from acme_io.storage.stacked.source import StackedSource

        return StackedSource(facts, name)

    def unfinished_source(
        self, facts: "ContainerFacts", name: str, options: StorageOptions, index: "CallIndex"
    ) -> "Source":
        """Return what reads rows from batch files or part files."""
        stretches = index.stretches(range(len(facts.table)))
        listed = [(file, calls) for file, calls in stretches if file is not None]
        varying = _slots(options).varying_axis is not None
        lengths = np.array(index.lengths) if varying else None
        in_parts = options.single_file
        return self.source(facts._replace(sources=listed, lengths=lengths, in_parts=in_parts), name)


class StackedSingleFile(Stacked):
    """Rows in part files, and at the end in one dataset of the one container."""

    def payload_folder(self, name: str) -> str | None:
        """Return the folder of the part files."""
        return layout.parts_folder(name)

    def sink(self, run: RunFiles, options: StorageOptions) -> "Sink":
        """Return what writes part files on the workers."""
        from acme_io.storage.stacked.sink import StackedPartSink

        return StackedPartSink(run, _slots(options))

    def finisher(self, run: RunFiles, options: StorageOptions, index: "CallIndex") -> "Finisher":
        """Return what copies the rows into the container."""
        from acme_io.storage.stacked.single_container import StackedSingleFinisher

        return StackedSingleFinisher(run, index, _slots(options))


def _slots(options: StorageOptions) -> Slots:
    assert options.slots is not None, "stacked results have a shape"
    return options.slots
