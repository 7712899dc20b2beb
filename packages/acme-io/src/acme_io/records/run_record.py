"""The identity of a run: function, time, place and options."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from acme_io.records.json_line import dumps


@dataclass(frozen=True)
class RunInfo:
    """The identity of one run. All fields are JSON-able.

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


def run_to_json(run: RunInfo, storage: Mapping[str, object] | None = None) -> str:
    """Return the identity of a run and the way its results are stored as one line of JSON."""
    return dumps({**asdict(run), "storage": dict(storage or {})})


def run_from_json(text: str) -> RunInfo:
    """Parse the output of `run_to_json`; fields added by later versions are ignored."""
    facts = json.loads(text)
    known = RunInfo.__dataclass_fields__
    return RunInfo(**{name: fact for name, fact in facts.items() if name in known})


def storage_from_json(text: str) -> dict[str, Any]:
    """Return the way results are stored from the output of `run_to_json`."""
    storage: dict[str, Any] = json.loads(text)["storage"]
    return storage


@dataclass(frozen=True)
class RunStamp:
    """The run's id and its identity as JSON, which every file of the run carries."""

    # Text instead of `RunInfo`: workers write it into each file without encoding it again.

    run_id: str
    json: str
