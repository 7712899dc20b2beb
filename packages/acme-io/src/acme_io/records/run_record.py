"""The identity of a run: which function was run when, where and with which options."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from acme_io.records.json_line import dumps


@dataclass(frozen=True)
class RunInfo:
    """Who computed what, when and with what: one run's identity. Everything in it is JSON-able.

    Attributes
    ----------
    run_id : str
        Unique name of the run; every file of the run carries it.
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
        Who ran it.
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
    """Write a run's identity, and how its results are stored, as one line of JSON."""
    return dumps({**asdict(run), "storage": dict(storage or {})})


def run_from_json(text: str) -> RunInfo:
    """Read what `run_to_json` wrote; fields that a later version added are left out."""
    facts = json.loads(text)
    known = RunInfo.__dataclass_fields__
    return RunInfo(**{name: fact for name, fact in facts.items() if name in known})


def storage_from_json(text: str) -> dict[str, Any]:
    """Read from a run's identity how its results are stored."""
    storage: dict[str, Any] = json.loads(text)["storage"]
    return storage


@dataclass(frozen=True)
class RunStamp:
    """What every file of a run carries: the run's id and its identity as JSON."""

    run_id: str
    json: str
