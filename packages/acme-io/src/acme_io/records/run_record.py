"""The identity of a run: function, time, place and options; and the place of its files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from acme_io.records.grid import Grid

__all__ = ["RunFiles", "RunInfo", "RunStamp"]


@dataclass(frozen=True)
class RunInfo:
    """The identity of one run. All fields but `grid` are JSON-able.

    Attributes
    ----------
    run_id : str
        Unique id of the run, in every file of the run.
    function, module : str
        Name of the function and of the module that defines it.
    n_calls : int
        Number of calls.
    started : float
        Start of the run, seconds since 1970.
    host : str
        Name of the client's machine.
    pid : int
        Process id of the client.
    user : str
        Name of the user.
    versions : mapping of str to str
        Versions of Python and of the packages concerned.
    options : mapping of str to object
        Options that change what is computed or stored.
    seed : int or None
        Seed of the calls' random number generators.
    shared : mapping of str to object
        Summaries of the shared arguments (`acme_io.records.summaries.describe`).
    grid : Grid or None
        The axes, if the calls are all combinations of some arguments. Files keep numbers and texts
        as they are, the short text of other values, and the length of a long axis.
    """

    run_id: str
    function: str
    module: str
    n_calls: int
    started: float
    host: str
    pid: int
    user: str
    versions: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, object] = field(default_factory=dict)
    seed: int | None = None
    shared: Mapping[str, object] = field(default_factory=dict)
    grid: Grid | None = None


@dataclass(frozen=True)
class RunStamp:
    """The run's id and its identity as JSON, which every file of the run carries."""

    # Text instead of `RunInfo`: workers write it into each file without encoding it again.

    run_id: str
    json: str


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
