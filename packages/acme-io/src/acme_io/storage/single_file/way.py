"""All results in one file, a group per call."""

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


class SingleFile(Way):
    """All results in one file, a group per call; part files hold them during the run."""

    layout = "single"

    def payload_folder(self, name: str) -> str | None:
        """Return the folder of the part files."""
        return layout.parts_folder(name)

    def sink(self, run: RunFiles, options: StorageOptions) -> "Sink":
        """Return the sink for part files."""
        from acme_io.storage.single_file.sink import PartSink

        return PartSink(run)

    def finisher(self, run: RunFiles, options: StorageOptions, index: "CallIndex") -> "Finisher":
        """Return the finisher that copies the parts into the container."""
        from acme_io.storage.single_file.container import SingleFileFinisher

        return SingleFileFinisher(run, index)

    def source(self, facts: "ContainerFacts", name: str) -> "Source":
        """Return the source for the container."""
        from acme_io.storage.single_file.source import SingleFileSource

        return SingleFileSource(facts, name)

    def unfinished_source(
        self, facts: "ContainerFacts", name: str, options: StorageOptions, index: "CallIndex"
    ) -> "Source":
        """Return a source for the part files."""
        from acme_io.storage.single_file.part_source import PartSource

        return PartSource(facts, name, index.files)
