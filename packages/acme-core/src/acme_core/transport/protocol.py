"""The messages between client and workers.

::

    client                                            worker
    RunContext   once per run and worker  ──▶  function, shared values, where results go
    BatchRequest once per batch           ──▶  items of the distributed arguments
    BatchOutcome                          ◀──  the outcome of each call, never an exception
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from acme_core.arguments.distribution import ArgumentKey, CallTemplate
    from acme_core.transport.large_objects import Parcel
    from acme_core.transport.serialization import Packed
    from acme_io import Slots
    from acme_io.backend import BatchReceipt, Failure, Sink


@dataclass(frozen=True)
class RunContext:
    """Everything about a run that is the same for all its calls.

    Parameters
    ----------
    func : callable
        The user's function.
    template : CallTemplate
        Where each argument goes.
    shared : mapping
        The shared values by place, mutable ones as `acme_core.transport.serialization.Frozen`.
    seed : int
        Seed of the calls' generators.
    sink : acme_io.backend.Sink or None
        Stores the results; with `None` they are sent back.
    slots : acme_io.Slots or None
        The parsed ``result_shape``, for results that are sent back.
    stop_at_failure : bool
        Whether a batch ends with its first failed call.
    """

    func: Any
    template: CallTemplate
    shared: Mapping[ArgumentKey, Any]
    seed: int
    sink: Sink | None = None
    slots: Slots | None = None
    stop_at_failure: bool = False


class RunTicket(NamedTuple):
    """How a worker loads the context of a run; travels with every batch.

    The context is a pickle inside this message: the worker sets its working directory and module
    search path before it loads the function. ``run_id`` is unique for each `compute`. Outcomes are
    posted under ``topic``; large ones are left in ``outcome_folder``, if it is given.
    """

    run_id: str
    topic: str
    cwd: str
    sys_path: tuple[str, ...]
    context: Parcel
    outcome_folder: str | None = None


class BatchRequest(NamedTuple):
    """The calls ``first`` to ``first + n_calls - 1``, as batch ``number`` of the run.

    The batch ends with the call during which its ``seconds`` are over. With ``announce`` it says
    which worker it is at, even before a call is finished.
    """

    ticket: RunTicket
    number: int
    first: int
    n_calls: int
    attempt: int
    seconds: float
    announce: bool
    columns: Parcel


class CallFailure(NamedTuple):
    """The record of a failed call, and its exception if that can be pickled."""

    record: Failure
    exception: bytes | None


@dataclass
class BatchOutcome:
    """The outcome of a batch, or of a part of it, without the calls that it did not reach.

    Attributes
    ----------
    first, n_calls : int
        The calls that were evaluated: ``first`` to ``first + n_calls - 1``.
    started : array of float64
        Start of each call, seconds since the epoch.
    seconds : array of float64
        Run time of each call.
    peak_memory : array of int64
        Peak memory of the worker during each call, in bytes.
    worker : str
        Address of the worker.
    wall_seconds : float
        Wall time of the whole batch on the worker, storing included.
    failures : dict
        The failed calls.
    values : list, numpy.ndarray or None
        Return values, if they are sent back; `None` for failed calls and those in ``frozen``.
    frozen : dict
        Pickled return values by call.
    receipt : BatchReceipt or None
        The sink's report on its files.
    worker_failure : CallFailure or None
        The reason that the worker cannot work on this run at all.
    """

    first: int
    n_calls: int = 0
    # Arrays: a batch may hold 50 000 calls, and an array is pickled as one block of bytes.
    started: array[float] = field(default_factory=lambda: array("d"))
    seconds: array[float] = field(default_factory=lambda: array("d"))
    peak_memory: array[int] = field(default_factory=lambda: array("q"))
    worker: str = ""
    wall_seconds: float = 0.0
    failures: dict[int, CallFailure] = field(default_factory=dict)
    values: Sequence[Any] | None = None
    frozen: dict[int, Packed] = field(default_factory=dict)
    receipt: BatchReceipt | None = None
    worker_failure: CallFailure | None = None
