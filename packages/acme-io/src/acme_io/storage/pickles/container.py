"""The record beside the pickles of a run."""

from acme_io import layout
from acme_io.hdf5.container import write_container
from acme_io.storage.finisher import BaseFinisher

__all__ = ["PickleFinisher"]


class PickleFinisher(BaseFinisher):
    """One pickle per call; a record beside them."""

    layout = "pickles"

    def finish(self) -> None:
        """Write the record."""
        path = self.run.output_dir / layout.record_name(self.run.name)
        write_container(path, "record", self._description())
