"""One pickle per call, and a record beside them."""

from pathlib import Path
from typing import TYPE_CHECKING

from acme_io.storage.options import StorageOptions
from acme_io.storage.run_files import RunFiles
from acme_io.storage.way import Way

if TYPE_CHECKING:
    from acme_io.storage.call_index import CallIndex
    from acme_io.storage.container_facts import ContainerFacts
    from acme_io.storage.finisher import Finisher
    from acme_io.storage.sink import Sink
    from acme_io.storage.source import Source


class Pickles(Way):
    """One pickle per call in the output directory itself, and a record beside them."""

    layout = "pickles"

    def container(self, run: RunFiles) -> Path | None:
        """Return None: there is a record, but it holds no results."""
        return None

    def payload_folder(self, name: str) -> str | None:
        """Return None: pickles lie in the output directory."""
        return None

    def sink(self, run: RunFiles, options: StorageOptions) -> "Sink":
        """Return what stores results on the workers."""
        from acme_io.storage.pickles.sink import PickleSink

        return PickleSink(run)

    def finisher(self, run: RunFiles, options: StorageOptions, index: "CallIndex") -> "Finisher":
        """Return what writes the record."""
        from acme_io.storage.pickles.container import PickleFinisher

        return PickleFinisher(run, index)

    def source(self, facts: "ContainerFacts", name: str) -> "Source":
        """Return what reads the pickles that a record lists."""
        from acme_io.storage.pickles.source import PickleSource

        return PickleSource(facts, facts.path.parent, name.removesuffix("_record"))

    def unfinished_source(
        self, facts: "ContainerFacts", name: str, options: StorageOptions, index: "CallIndex"
    ) -> "Source":
        """Return what reads pickles without a record."""
        from acme_io.storage.pickles.source import PickleSource

        return PickleSource(facts, facts.path.parent, name)
