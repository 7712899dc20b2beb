"""Finish a run: make one container of the payloads that workers have written."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

from acme_io import layout
from acme_io.files import atomic
from acme_io.hdf5.container import Description
from acme_io.storage.call_index import CallIndex
from acme_io.storage.run_files import RunFiles

__all__ = ["BaseFinisher", "Finisher"]


class Finisher(Protocol):
    """Makes one container of the payloads of a run."""

    def taken(self, calls: Sequence[int]) -> None:
        """Take note of new payloads; work on them may begin."""

    def finish(self) -> None:
        """Write the container or record from the index."""

    def payload_files(self) -> list[str | None]:
        """Return the paths of the payloads, relative to the output directory."""

    def close(self) -> None:
        """Stop work that is going on and remove temporary files."""


class BaseFinisher:
    """What all ways of storing results have in common.

    Parameters
    ----------
    run : RunFiles
        The run.
    index : CallIndex
        Where its results lie.
    """

    layout: ClassVar[str] = ""

    def __init__(self, run: RunFiles, index: CallIndex) -> None:
        self.run, self.index = run, index

    @property
    def container(self) -> Path:
        """Final path of the container."""
        return self.run.output_dir / layout.container_name(self.run.name)

    def taken(self, calls: Sequence[int]) -> None:
        """Do nothing before the end."""

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
        for file in self.index.unused():
            atomic.remove(layout.local(self.run.output_dir, file))
        self.index.superseded.clear()
