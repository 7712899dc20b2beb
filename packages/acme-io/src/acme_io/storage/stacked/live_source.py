"""Read stacked results while their run goes on."""

from acme_io.errors import MissingCallError
from acme_io.storage.call_index import CallIndex
from acme_io.storage.container_facts import ContainerFacts
from acme_io.storage.stacked.rows import StackedFile
from acme_io.storage.stacked.source import StackedSource

__all__ = ["LiveStackedSource"]


class LiveStackedSource(StackedSource):
    """Rows in the files that an index names at the moment.

    A file that was consolidated into another one stays until the container is written: an index
    that changes meanwhile does no harm.

    Parameters
    ----------
    facts : ContainerFacts
        The run, without sources.
    name : str
        The cleaned function name.
    index : CallIndex
        The file of each call.
    """

    def __init__(self, facts: ContainerFacts, name: str, index: CallIndex) -> None:
        super().__init__(facts, name)
        self._index = index

    def _source_of(self, call: int) -> StackedFile:
        file = self._index.files[call]
        if file is None:
            raise MissingCallError(f"No file of {self.path} has the result of call {call}.")
        return self.opened(file)

    def _held_with(self, call: int) -> range:
        return range(call, call + 1)
