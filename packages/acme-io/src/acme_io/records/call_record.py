"""The record of one call: its status, its measurements, and the reason if it failed."""

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["DONE", "FAILED", "MISSING", "PICKLED", "STATUS_NAMES", "CallReport", "Failure"]

# Part of the file format: a new status takes the next number. MISSING is 0, so that a table of
# zeros is a run before its first call.
MISSING, DONE, FAILED, PICKLED = range(4)
STATUS_NAMES = ("missing", "done", "failed", "pickled")


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
