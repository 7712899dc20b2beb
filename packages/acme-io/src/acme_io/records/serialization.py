"""Records as lines of JSON, their form in files."""

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from acme_io.records.call_record import STATUS_NAMES, CallReport, Failure
from acme_io.records.grid import grid_from_facts, grid_to_facts
from acme_io.records.run_record import RunInfo
from acme_io.records.summaries import describe_all

# The default, ASCII, keeps text with lone surrogates, which cannot be encoded as UTF-8, and makes
# characters bytes. Anything JSON lacks becomes its `str`: a record must not fail a call. One
# encoder for all, because `json.dumps` with options makes a new one at each call.
_ENCODER = json.JSONEncoder(separators=(",", ":"), default=str)


def dumps(facts: object) -> str:
    """Return facts as one line of JSON, in ASCII."""
    return _ENCODER.encode(facts)


def run_to_json(run: RunInfo, storage: Mapping[str, object] | None = None) -> str:
    """Return the identity of a run and the way its results are stored as one line of JSON."""
    # Not `asdict`, which copies everything, with all values of a grid.
    facts = {field.name: getattr(run, field.name) for field in fields(run)}
    grid = facts.pop("grid")
    if grid is not None:
        facts["grid"] = grid_to_facts(grid)
    return dumps({**facts, "storage": dict(storage or {})})


def run_from_json(text: str) -> RunInfo:
    """Parse the output of `run_to_json`; fields added by later versions are ignored."""
    facts = json.loads(text)
    known = RunInfo.__dataclass_fields__
    if "grid" in facts:
        facts["grid"] = grid_from_facts(facts["grid"])
    return RunInfo(**{name: fact for name, fact in facts.items() if name in known})


def storage_from_json(text: str) -> dict[str, Any]:
    """Return the way results are stored from the output of `run_to_json`."""
    storage: dict[str, Any] = json.loads(text)["storage"]
    return storage


def call_to_json(
    report: CallReport,
    status: int,
    form: Mapping[str, object] | None,
    failure: Failure | None = None,
) -> str:
    """Return the record of one call as one line of JSON.

    Parameters
    ----------
    report : CallReport
        The worker's report; its arguments are summarised here.
    status : int
        `DONE`, `FAILED` or `PICKLED`.
    form : mapping, optional
        The form of the value (`acme_io.values.encoding`) and further entries of the record.
    failure : Failure, optional
        The reason, for a failed call.
    """
    # Times are rounded to microseconds and 0.1 microseconds: records of similar length share a
    # template (`acme_io.hdf5.run_file.padded`), and clocks are not more precise.
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


def call_from_json(text: str | bytes) -> dict[str, Any]:
    """Parse the record of one call."""
    facts: dict[str, Any] = json.loads(text)
    if "failure" in facts:
        # The arguments of a failed call are in its record already, and in files only once.
        facts["failure"] = Failure(**facts["failure"], arguments=facts.get("arguments", {}))
    return facts


def failures_to_json(failures: Mapping[int, Failure]) -> str:
    """Return the failures of a run as one line of JSON."""
    return dumps(
        {
            str(call): {**_exception_facts(failure), "arguments": dict(failure.arguments)}
            for call, failure in sorted(failures.items())
        }
    )


def failures_from_json(text: str) -> dict[int, Failure]:
    """Parse the output of `failures_to_json`."""
    # Files of earlier versions have no `arguments` here; the default of `Failure` applies.
    return {int(call): Failure(**facts) for call, facts in json.loads(text).items()}


def _exception_facts(failure: Failure) -> dict[str, object]:
    """Return the part of a failure that describes the exception."""
    return {"type": failure.type, "message": failure.message, "traceback": failure.traceback}
