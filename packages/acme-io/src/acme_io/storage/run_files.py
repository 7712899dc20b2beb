"""Where the files of a run go, and what each of them carries."""

from dataclasses import dataclass
from pathlib import Path

from acme_io.records.run_record import RunStamp

__all__ = ["RunFiles"]


@dataclass(frozen=True)
class RunFiles:
    """Where the files of a run go, and what each of them carries.

    Parameters
    ----------
    output_dir : pathlib.Path
        The output directory.
    name : str
        The cleaned function name.
    stamp : RunStamp
        The run.
    """

    output_dir: Path
    name: str
    stamp: RunStamp
