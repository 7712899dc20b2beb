"""One HDF5 file per call; the container links to them."""

from typing import TYPE_CHECKING

from acme_io import layout
from acme_io.storage.options import StorageOptions
from acme_io.storage.run_files import RunFiles
from acme_io.storage.way import Way

if TYPE_CHECKING:
    from acme_io.storage.call_index import CallIndex
    from acme_io.storage.container_facts import ContainerFacts
    from acme_io.storage.finisher import Finisher
    from acme_io.storage.sink import Sink
    from acme_io.storage.source import Source


class PerCall(Way):
    """One HDF5 file per call; the container links to them."""

    layout = "links"

    def sink(self, run: RunFiles, options: StorageOptions) -> "Sink":
        """Return what stores results on the workers."""
        from acme_io.storage.per_call.sink import PerCallSink

        return PerCallSink(run)

    def finisher(self, run: RunFiles, options: StorageOptions, index: "CallIndex") -> "Finisher":
        """Return what makes the container."""
        from acme_io.storage.per_call.container import PerCallFinisher

        return PerCallFinisher(run, index)

    def source(self, facts: "ContainerFacts", name: str) -> "Source":
        """Return what reads a container."""
        from acme_io.storage.per_call.source import PerCallSource

        return PerCallSource(facts, facts.path.parent / layout.payload_folder(name), name)

    def unfinished_source(
        self, facts: "ContainerFacts", name: str, options: StorageOptions, index: "CallIndex"
    ) -> "Source":
        """Return what reads payloads without a container: the same."""
        return self.source(facts, name)
