"""Results of one shape and dtype in one file: a dataset per return value, a row per call."""

from typing import TYPE_CHECKING

from acme_io.storage.way import Layout

if TYPE_CHECKING:
    from acme_io.storage.container_facts import ContainerFacts
    from acme_io.storage.source import Source

__all__ = ["Uniform"]


class Uniform(Layout):
    """The layout that `merge` gives results of one shape and dtype; no run is stored like this."""

    # An old word, but part of the file format.
    layout = "alike"

    def source(self, facts: "ContainerFacts", name: str) -> "Source":
        """Return the source for a merged file."""
        from acme_io.storage.uniform.source import UniformSource

        return UniformSource(facts, name)
