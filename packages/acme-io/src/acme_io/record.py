"""What is on record about a run and about each of its calls.

Three views of the same facts: `CallReport` is what a worker knows of one call, `CallTable` what the
client knows of all of them, `RunInfo` what holds for the whole run. In files they are JSON texts
and columns of numbers; `run_to_json`, `call_to_json` and their inverses are the only places that
know how.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np

from .describe import describe_all

__all__ = [
    "DONE",
    "FAILED",
    "FORMAT_VERSION",
    "MISSING",
    "PICKLED",
    "STATUS_NAMES",
    "CallReport",
    "CallTable",
    "Failure",
    "RunInfo",
]

# Text that is no valid UTF-8 (lone surrogates) must not break a record, so everything is ASCII.
_ENCODER = json.JSONEncoder(separators=(",", ":"), default=str)

FORMAT_VERSION = 2
"""Version of the file format; the rule for changing it stands on the file-format page."""

MISSING, DONE, FAILED, PICKLED = range(4)
STATUS_NAMES = ("missing", "done", "failed", "pickled")


class Failure(NamedTuple):
    """Why one call failed.

    Attributes
    ----------
    type, message, traceback : str
        Type, message and traceback of the exception, as text.
    arguments : mapping of str to object
        Summaries of the call's distributed arguments (`acme_io.describe.describe`). A failed call
        may have no file of its own, so they travel with its failure.
    """

    type: str
    message: str
    traceback: str
    arguments: Mapping[str, object] = {}


class CallReport(NamedTuple):
    """What a worker knows of one call that it has evaluated.

    Attributes
    ----------
    call : int
        The call's number, from 0.
    started : float
        When it began, seconds since 1970.
    seconds : float
        How long it took.
    peak_memory : int
        Largest resident memory of the worker during the call, bytes.
    worker : str
        Name or address of the worker.
    attempt : int
        1 for the first evaluation, one more for each further one.
    arguments : mapping of str to object
        The call's distributed arguments as the function got them. Files keep a summary only.
    """

    call: int
    started: float
    seconds: float
    peak_memory: int
    worker: str
    attempt: int
    arguments: Mapping[str, object]


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
        Summaries of the shared arguments (`acme_io.describe.describe`).
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


class CallTable:
    """One row per call: what became of it. The client fills it, the container keeps it.

    Parameters
    ----------
    n_calls : int
        Number of calls; every call starts as `MISSING`.

    Attributes
    ----------
    status : numpy.ndarray of uint8, shape (n_calls,)
        `MISSING`, `DONE`, `FAILED` or `PICKLED`.
    started, seconds : numpy.ndarray of float64, shape (n_calls,)
        Start (seconds since 1970, NaN if unknown) and duration in seconds.
    peak_memory : numpy.ndarray of int64, shape (n_calls,)
        Bytes.
    worker : numpy.ndarray of int32, shape (n_calls,)
        Index into `workers`, -1 if unknown.
    attempts : numpy.ndarray of uint16, shape (n_calls,)
        How often the call was evaluated.
    checksum : numpy.ndarray of uint64, shape (n_calls,)
        Checksum of the call's stored result.
    workers : list of str
        Names of the workers.
    failures : dict of int to Failure
        The failed calls.
    """

    COLUMNS: tuple[tuple[str, str], ...] = (
        ("status", "<u1"),
        ("started", "<f8"),
        ("seconds", "<f8"),
        ("peak_memory", "<i8"),
        ("worker", "<i4"),
        ("attempts", "<u2"),
        ("checksum", "<u8"),
    )

    def __init__(self, n_calls: int) -> None:
        self.status: np.ndarray[Any, Any] = np.zeros(n_calls, dtype="<u1")
        self.started: np.ndarray[Any, Any] = np.full(n_calls, np.nan, dtype="<f8")
        self.seconds: np.ndarray[Any, Any] = np.full(n_calls, np.nan, dtype="<f8")
        self.peak_memory: np.ndarray[Any, Any] = np.zeros(n_calls, dtype="<i8")
        self.worker: np.ndarray[Any, Any] = np.full(n_calls, -1, dtype="<i4")
        self.attempts: np.ndarray[Any, Any] = np.zeros(n_calls, dtype="<u2")
        self.checksum: np.ndarray[Any, Any] = np.zeros(n_calls, dtype="<u8")
        self.workers: list[str] = []
        self.failures: dict[int, Failure] = {}

    def __len__(self) -> int:
        """Return the number of calls."""
        return len(self.status)

    def copy(self) -> "CallTable":
        """Return a table that can be changed without changing this one."""
        twin = CallTable(len(self))
        for name, _ in self.COLUMNS:
            getattr(twin, name)[:] = getattr(self, name)
        twin.workers = list(self.workers)
        twin.failures = dict(self.failures)
        return twin

    def adopt(self, other: "CallTable", calls: Sequence[int]) -> None:
        """Take over what another table says of these calls."""
        if not calls:
            return
        for name, _ in self.COLUMNS:
            getattr(self, name)[calls] = getattr(other, name)[calls]
        numbers = {worker: number for number, worker in enumerate(self.workers)}
        for call in calls:
            known = other.worker[call]
            if known >= 0:
                worker = other.workers[known]
                self.worker[call] = numbers.setdefault(worker, len(numbers))
            self.failures.pop(call, None)
            if call in other.failures:
                self.failures[call] = other.failures[call]
        self.workers = list(numbers)


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


def call_to_json(
    report: CallReport,
    status: int,
    form: Mapping[str, object] | None,
    failure: Failure | None = None,
) -> str:
    """Write the record of one call as one line of JSON.

    Parameters
    ----------
    report : CallReport
        What the worker knows; its arguments are summarised here.
    status : int
        `DONE`, `FAILED` or `PICKLED`.
    form : mapping, optional
        How the value was encoded (`acme_io.encoding`), and what else is to be on record.
    failure : Failure, optional
        Why the call failed.
    """
    facts: dict[str, object] = {
        "call": report.call,
        "status": STATUS_NAMES[status],
        **(form or {}),
        "started": round(report.started, 6),
        "seconds": round(report.seconds, 7),
        "peak_memory": int(report.peak_memory),
        "worker": report.worker,
        "attempt": report.attempt,
        "arguments": describe_all(report.arguments),
    }
    if failure is not None:
        facts["failure"] = _exception_facts(failure)
    return dumps(facts)


def _exception_facts(failure: Failure) -> dict[str, object]:
    """Return what is on record about the exception itself."""
    return {"type": failure.type, "message": failure.message, "traceback": failure.traceback}


def call_from_json(text: str | bytes) -> dict[str, Any]:
    """Read the record of one call."""
    facts: dict[str, Any] = json.loads(text)
    if "failure" in facts:
        facts["failure"] = Failure(**facts["failure"], arguments=facts.get("arguments", {}))
    return facts


def failures_to_json(failures: Mapping[int, Failure]) -> str:
    """Write the failures of a run."""
    return dumps(
        {
            str(call): {**_exception_facts(failure), "arguments": dict(failure.arguments)}
            for call, failure in sorted(failures.items())
        }
    )


def failures_from_json(text: str) -> dict[int, Failure]:
    """Read what `failures_to_json` wrote."""
    # Files of earlier versions have no arguments here.
    return {int(call): Failure(**facts) for call, facts in json.loads(text).items()}


def dumps(facts: object) -> str:
    """Write facts as one line of JSON, in ASCII."""
    return _ENCODER.encode(facts)
