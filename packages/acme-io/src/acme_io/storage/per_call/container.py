"""The container of results with one file per call: links to the payloads."""

from acme_io.hdf5.container import external_links, write_container
from acme_io.records.call_record import DONE
from acme_io.storage.finisher import BaseFinisher

__all__ = ["PerCallFinisher"]


class PerCallFinisher(BaseFinisher):
    """Writes a container with a link to the payload of each call."""

    layout = "links"

    def finish(self) -> None:
        """Write the container."""
        # Pickled calls have no link: their files are not HDF5.
        status = self.index.table.status
        links = (
            (call, file, "/")
            for call, file in enumerate(self.index.files)
            if file is not None and status[call] == DONE
        )
        about = self._description(columns={"arguments": self.index.arguments})
        write_container(self.container, "container", about, external_links(links))
