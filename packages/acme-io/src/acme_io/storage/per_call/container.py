"""The container of results with one file per call: links to the payloads."""

from acme_io.hdf5.container import external_links, write_container
from acme_io.records.status import DONE
from acme_io.storage.finisher import BaseFinisher

__all__ = ["PerCallFinisher"]


class PerCallFinisher(BaseFinisher):
    """One payload per call; the container links to them."""

    layout = "links"

    def finish(self) -> None:
        """Write the container."""
        status = self.index.table.status
        links = (
            (call, file, "/")
            for call, file in enumerate(self.index.files)
            if file is not None and status[call] == DONE
        )
        write_container(self.container, "container", self._description(), external_links(links))
