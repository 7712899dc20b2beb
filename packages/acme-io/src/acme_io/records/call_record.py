"""The record of one call: which arguments it had, how it went, how its value is encoded."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from acme_io.records.json_line import dumps
from acme_io.records.status import STATUS_NAMES
from acme_io.records.summaries import describe_all


class Failure(NamedTuple):
    """Why one call failed.

    Attributes
    ----------
    type, message, traceback : str
        Type, message and traceback of the exception, as text.
    arguments : mapping of str to object
        Summaries of the call's distributed arguments (`acme_io.records.summaries`). A failed
        call may have no file of its own, so its arguments travel with its failure.
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
        How the value was encoded (`acme_io.values.encoding`), and what else is to be on record.
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


def _exception_facts(failure: Failure) -> dict[str, object]:
    """Return what is on record about the exception itself."""
    return {"type": failure.type, "message": failure.message, "traceback": failure.traceback}
