"""The interface of a way of storing results.

::

    worker    sink.open(calls) -> writer      writes payloads, returns a receipt
    client    finisher.taken / .finish        makes one container (or record) from the payloads
    reader    source.load(call)               reads results from the container or from payloads

Each way has a sub-package beside this module, with a `Way` that ties the three together. Their
modules are imported on use: a worker needs no reader, and a client that only checks its arguments
needs no h5py.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from acme_io import layout
from acme_io.records.run_record import RunFiles

# At run time these would import NumPy and h5py.
if TYPE_CHECKING:
    from acme_io.storage.call_index import CallIndex
    from acme_io.storage.container_facts import ContainerFacts
    from acme_io.storage.finisher import Finisher
    from acme_io.storage.options import StorageOptions
    from acme_io.storage.sink import Sink
    from acme_io.storage.source import Source

__all__ = ["Layout", "Way"]


class Layout(ABC):
    """The structure of a container, which readers recognize by its name."""

    layout: ClassVar[str]
    """Name of the layout in the attribute `layout` of containers; part of the file format."""

    @abstractmethod
    def source(self, facts: "ContainerFacts", name: str) -> "Source":
        """Return the source that reads a container.

        Parameters
        ----------
        facts : ContainerFacts
            The run, as described by the container.
        name : str
            The container's file name without its extension.
        """


class Way(Layout):
    """One way of storing the results of a run."""

    def container(self, run: RunFiles) -> Path | None:
        """Return the path of the container, None for ways with only a record."""
        return run.output_dir / layout.container_name(run.name)

    def payload_folder(self, name: str) -> str | None:
        """Return the folder workers write to, None for the output directory itself."""
        return layout.payload_folder(name)

    @abstractmethod
    def sink(self, run: RunFiles, options: "StorageOptions") -> "Sink":
        """Return the sink, which travels to the workers and stores results there."""

    @abstractmethod
    def finisher(self, run: RunFiles, options: "StorageOptions", index: "CallIndex") -> "Finisher":
        """Return the finisher, which makes the container from the payloads in the index."""

    @abstractmethod
    def unfinished_source(
        self, facts: "ContainerFacts", name: str, options: "StorageOptions", index: "CallIndex"
    ) -> "Source":
        """Return a source for payloads of a run without a container."""

    def live_source(
        self, facts: "ContainerFacts", name: str, options: "StorageOptions", index: "CallIndex"
    ) -> "Source":
        """Return a source for the payloads of a run that goes on, whose index changes."""
        return self.unfinished_source(facts, name, options, index)
