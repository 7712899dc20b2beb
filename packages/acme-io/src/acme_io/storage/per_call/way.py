"""One HDF5 file per call, linked by the container."""

from typing import TYPE_CHECKING

from acme_io import layout
from acme_io.records.run_record import RunFiles
from acme_io.storage.options import StorageOptions
from acme_io.storage.way import Way

if TYPE_CHECKING:
    from acme_io.storage.call_index import CallIndex
    from acme_io.storage.container_facts import ContainerFacts
    from acme_io.storage.finisher import Finisher
    from acme_io.storage.sink import Sink
    from acme_io.storage.source import Source


class PerCall(Way):
    """One HDF5 file per call, linked by the container."""

    layout = "links"

    def sink(self, run: RunFiles, options: StorageOptions) -> "Sink":
        """Return the sink for payloads of one call."""
        from acme_io.storage.per_call.sink import PerCallSink

        return PerCallSink(run)

    def finisher(self, run: RunFiles, options: StorageOptions, index: "CallIndex") -> "Finisher":
        """Return the finisher that links to the payloads."""
        from acme_io.storage.per_call.container import PerCallFinisher

        return PerCallFinisher(run, index)

    def source(self, facts: "ContainerFacts", name: str) -> "Source":
        """Return the source for payloads of one call."""
        from acme_io.storage.per_call.source import PerCallSource

        return PerCallSource(facts, facts.path.parent / layout.payload_folder(name), name)

    def unfinished_source(
        self, facts: "ContainerFacts", name: str, options: StorageOptions, index: "CallIndex"
    ) -> "Source":
        """Return the same source as for a finished run."""
        # Names of payloads follow from function name and call, so no container is needed.
        return self.source(facts, name)
