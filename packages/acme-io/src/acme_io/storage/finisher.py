"""Finish a run: make one container from the payloads written by the workers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

from acme_io import layout
from acme_io.files import atomic
from acme_io.hdf5.container import Description
from acme_io.records.run_record import RunFiles
from acme_io.storage.call_index import CallIndex

__all__ = ["BaseFinisher", "Finisher"]


class Finisher(Protocol):
    """Makes one container from the payloads of a run, on the client.

    `taken` is called many times while the run goes on, then `finish` once, then `close`; after an
    error `close` may come without `finish`.
    """

    def taken(self, calls: Sequence[int]) -> None:
        """Note the payloads of these calls; work on them may begin in the background."""

    def finish(self) -> None:
        """Write the container or record from the index."""

    def payload_files(self) -> list[str | None]:
        """Return the paths of the payloads, relative to the output directory."""

    def close(self) -> None:
        """Stop background work and remove temporary files."""


class BaseFinisher:
    """The base of all finishers: no work before `finish`, one payload per call.

    Parameters
    ----------
    run : RunFiles
        Names, folders and identity of the run.
    index : CallIndex
        The files of its results; receipts keep changing it until `finish`.
    """

    layout: ClassVar[str] = ""

    def __init__(self, run: RunFiles, index: CallIndex) -> None:
        self.run, self.index = run, index

    @property
    def container(self) -> Path:
        """Final path of the container."""
        return self.run.output_dir / layout.container_name(self.run.name)

    def taken(self, calls: Sequence[int]) -> None:
        """Do nothing: all work is left to `finish`."""

    def payload_files(self) -> list[str | None]:
        """Return the file of every call."""
        return list(self.index.files)

    def close(self) -> None:
        """Do nothing: no file is open."""

    def _description(self, texts: dict[str, str] | None = None, columns: Any = None) -> Description:
        return Description(
            self.run.stamp, self.layout, self.index.table, texts or {}, columns or {}
        )

    def _remove_unused(self) -> None:
        # Only once the container is written: until then a crash must leave every row in some file.
        for file in self.index.unused():
            atomic.remove(layout.local(self.run.output_dir, file))
        self.index.superseded.clear()
