"""The record of one call: its arguments, its outcome and the encoding of its value."""

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
    """One evaluated call as its worker saw it.

    Attributes
    ----------
    call : int
        Number of the call, from 0.
    started : float
        Start, seconds since 1970.
    seconds : float
        Duration.
    peak_memory : int
        Largest resident memory of the worker during the call, bytes.
    worker : str
        Name or address of the worker.
    attempt : int
        1 for the first evaluation, 2 for the first repetition.
    arguments : mapping of str to object
        The distributed arguments of the call as passed to the function. Files keep summaries only.
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
    # Times are rounded, to 1 and 0.1 microseconds: records of similar length share a template
    # (`acme_io.hdf5.run_file.padded`).
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
