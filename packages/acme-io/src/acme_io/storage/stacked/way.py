"""First return values stacked into one dataset, a row per call."""

from typing import TYPE_CHECKING

import numpy as np

from acme_io import layout
from acme_io.records.run_record import RunFiles
from acme_io.storage.options import StorageOptions
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
        """Return the sink for batch files."""
        from acme_io.storage.stacked.sink import StackedSink

        return StackedSink(run, _slots(options))

    def finisher(self, run: RunFiles, options: StorageOptions, index: "CallIndex") -> "Finisher":
        """Return the finisher that makes the virtual dataset."""
        from acme_io.storage.stacked.container import StackedFinisher

        return StackedFinisher(run, index, _slots(options))

    def source(self, facts: "ContainerFacts", name: str) -> "Source":
        """Return the source for rows in batch files or in the container itself."""
        from acme_io.storage.stacked.source import StackedSource

        return StackedSource(facts, name)

    def unfinished_source(
        self, facts: "ContainerFacts", name: str, options: StorageOptions, index: "CallIndex"
    ) -> "Source":
        """Return a source for the rows in batch files or part files."""
        # Without a container, the index has what its attributes `sources` and `lengths` would say.
        spans = index.spans(range(len(facts.table)))
        listed = [(file, calls) for file, calls in spans if file is not None]
        varying = _slots(options).varying_axis is not None
        lengths = np.array(index.lengths) if varying else None
        in_parts = options.single_file
        return self.source(facts._replace(sources=listed, lengths=lengths, in_parts=in_parts), name)

    def live_source(
        self, facts: "ContainerFacts", name: str, options: StorageOptions, index: "CallIndex"
    ) -> "Source":
        """Return a source that looks up each row in the index."""
        from acme_io.storage.stacked.live_source import LiveStackedSource

        return LiveStackedSource(
            facts._replace(sources=[], in_parts=options.single_file), name, index
        )


class StackedSingleFile(Stacked):
    """Rows in part files during the run, and in one dataset of the container at its end."""

    def payload_folder(self, name: str) -> str | None:
        """Return the folder of the part files."""
        return layout.parts_folder(name)

    def sink(self, run: RunFiles, options: StorageOptions) -> "Sink":
        """Return the sink for part files."""
        from acme_io.storage.stacked.sink import StackedPartSink

        return StackedPartSink(run, _slots(options))

    def finisher(self, run: RunFiles, options: StorageOptions, index: "CallIndex") -> "Finisher":
        """Return the finisher that copies the rows into the container."""
        from acme_io.storage.stacked.single_container import StackedSingleFinisher

        return StackedSingleFinisher(run, index, _slots(options))


def _slots(options: StorageOptions) -> Slots:
    assert options.slots is not None, "`way_for` chooses this way for options with slots only"
    return options.slots
