"""Read the calls of a run that goes on, and of the same run when it is over."""

from typing import Any

import numpy as np

from acme_io import layout
from acme_io.records.run_record import RunFiles
from acme_io.runs.locate import container_source
from acme_io.runs.reading import RunReader
from acme_io.storage.call_index import CallIndex
from acme_io.storage.container_facts import ContainerFacts
from acme_io.storage.options import StorageOptions
from acme_io.storage.source import Source
from acme_io.storage.way import Way

__all__ = ["LiveReader"]

Array = np.ndarray[Any, Any]


class LiveReader(RunReader):
    """Reads calls from their payloads, and from the container once that is written.

    A container may take over the results of its payloads, which are removed then.

    Parameters
    ----------
    way : Way
        The way of storing.
    run : RunFiles
        Names, folders and identity of the run.
    options : StorageOptions
        How results are stored.
    index : CallIndex
        The files of the results; it changes while the run goes on.
    """

    _source: Source | None

    def __init__(self, way: Way, run: RunFiles, options: StorageOptions, index: CallIndex) -> None:
        container = run.output_dir / layout.container_name(run.name)
        facts = ContainerFacts(
            container, "", run.stamp.run_id, index.table, options.slots, run_json=run.stamp.json
        )
        # Pickles were written by this run, for this reader.
        super().__init__(way.live_source(facts, run.name, options, index), allow_pickle=True)
        record = run.output_dir / layout.record_name(run.name)
        self._container = record if options.pickle else container

    def use_container(self) -> None:
        """Read from the container from now on."""
        self.source.close()
        self._source = None

    @property
    def source(self) -> Source:
        """The payloads, or the container, which is opened when it is first needed."""
        if self._source is None:
            self._source = container_source(self._container)
        return self._source

    @source.setter
    def source(self, source: Source) -> None:
        self._source = source

    @property
    def status(self) -> Array:
        """Status code of every call."""
        # Not `present`, which looks at all files: a file that is lost shows when it is read.
        return self.source.table.status
