"""What a way of storing results consists of.

::

    worker    sink.open(calls) -> writer      writes payloads, answers with a receipt
    client    finisher.taken / .finish        makes one container (or record) of the payloads
    reader    source.load(call)               reads results from the container, or from payloads

Each way has a sub-package beside this module with a `Way` that brings the three together. The
modules behind them are imported when they are used: a worker needs no reader, and a client that
only checks its arguments does not need h5py.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from acme_io import layout
from acme_io.storage.run_files import RunFiles

if TYPE_CHECKING:
    from acme_io.storage.call_index import CallIndex
    from acme_io.storage.container_facts import ContainerFacts
    from acme_io.storage.finisher import Finisher
    from acme_io.storage.options import StorageOptions
    from acme_io.storage.sink import Sink
    from acme_io.storage.source import Source

__all__ = ["Layout", "Way"]


class Layout(ABC):
    """A form in which containers hold results."""

    layout: ClassVar[str]
    """The name by which containers record it."""

    @abstractmethod
    def source(self, facts: "ContainerFacts", name: str) -> "Source":
        """Return the source that reads a container.

        Parameters
        ----------
        facts : ContainerFacts
            What the container says about its run.
        name : str
            The container's file name without its extension.
        """


class Way(Layout):
    """One way of storing the results of a run."""

    def container(self, run: RunFiles) -> Path | None:
        """Return the path of the container; None where there is only a record."""
        return run.output_dir / layout.container_name(run.name)

    def payload_folder(self, name: str) -> str | None:
        """Return the folder that workers write to; None for the output directory itself."""
        return layout.payload_folder(name)

    @abstractmethod
    def sink(self, run: RunFiles, options: "StorageOptions") -> "Sink":
        """Return what travels to the workers and stores what calls return."""

    @abstractmethod
    def finisher(self, run: RunFiles, options: "StorageOptions", index: "CallIndex") -> "Finisher":
        """Return what makes the container from the payloads that the index lists."""

    @abstractmethod
    def unfinished_source(
        self, facts: "ContainerFacts", name: str, options: "StorageOptions", index: "CallIndex"
    ) -> "Source":
        """Return the source that reads payloads without a container."""
