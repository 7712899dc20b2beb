"""Names, folders and identity of the files of one run."""

from dataclasses import dataclass
from pathlib import Path

from acme_io.records.run_record import RunStamp

__all__ = ["RunFiles"]


@dataclass(frozen=True)
class RunFiles:
    """Names, folders and identity of the files of one run; travels to the workers.

    Parameters
    ----------
    output_dir : pathlib.Path
        The output directory.
    name : str
        The cleaned function name.
    stamp : RunStamp
        The run's id and description, which every file carries.
    """

    output_dir: Path
    name: str
    stamp: RunStamp
