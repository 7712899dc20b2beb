"""How outcomes of batches come back: small ones as dask events, the others are fetched.

::

    worker ──event──▶ scheduler ──event──▶ OutcomeInbox ──▶ engine   a record, small values, or
       │                                                      ▲      the name of a file in memory
       └── result of the task ◀── fetched by the engine ──────┘      large, or lost on the way

Fetching a result makes the client, or the scheduler on its behalf, connect to the worker, which
takes some milliseconds. An event travels on connections that are already open, and reaches the
client before the message that its task is done.

A long batch posts several outcomes: one about twice a second for the calls since the last one, and
one at its end. It also posts which calls it has given up, if the client has taken some back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from acme_core.transport import dask_internals

if TYPE_CHECKING:
    from distributed import Client

LARGEST_POSTED = 16 * 1024
"""Bytes up to which an outcome is posted as an event.

Schedulers that ACME did not start keep the last 1000 messages that they sent to a client
(``distributed.admin.low-level-log-length``), which then take 16 MB at most.
"""

LARGEST_PART = 32 * 1024
"""Bytes up to which an outcome is posted before its batch has ended: nobody can fetch it then."""


class Report(NamedTuple):
    """What a worker posts about a batch.

    Attributes
    ----------
    number : int
        Of the batch.
    outcome : bytes or None
        The packed outcome of the calls since the last report.
    more : bool
        Whether the batch goes on.
    kept_until : int or None
        The first of the calls that the batch has given up.
    """

    number: int
    outcome: bytes | None = None
    more: bool = False
    kept_until: int | None = None


# Of this process, by run id. Runs in several threads can share one client.
_receivers: dict[str, Callable[[Report], None]] = {}


class Outbox:
    """Posts reports about one batch from its worker; made in the thread of its task.

    Parameters
    ----------
    topic, run_id : str
        The run, as in its `acme_core.transport.protocol.RunTicket`.
    number : int
        Of the batch.
    """

    def __init__(self, topic: str, run_id: str, number: int) -> None:
        self._post, self._topic = dask_internals.poster(), topic
        self._message = {"run": run_id, "batch": number}

    def post_outcome(self, content: bytes) -> None:
        """Post the packed outcome at the end of a batch, unless it is too large."""
        if len(content) <= LARGEST_POSTED:
            self._post(self._topic, {**self._message, "outcome": content})

    def post_part(self, content: bytes) -> None:
        """Post the packed outcome of finished calls while their batch runs."""
        self._post(self._topic, {**self._message, "outcome": content, "more": True})


def post_taken_back(
    post: Callable[[str, Mapping[str, Any]], None], topic: str, run_id: str, number: int, call: int
) -> None:
    """Post that a batch has given up its calls from ``call`` on."""
    post(topic, {"run": run_id, "batch": number, "kept_until": call})


class OutcomeInbox:
    """Receives the outcomes of one run while it is open.

    Parameters
    ----------
    client : distributed.Client
        The client of the run.
    run_id : str
        Only outcomes of this run are received.
    receive : callable
        Called with each report, in dask's event loop thread: it must not block.
    """

    def __init__(self, client: Client, run_id: str, receive: Callable[[Report], None]) -> None:
        self._run_id = run_id
        _receivers[run_id] = receive
        # All runs of a client share one subscription, which stays: a client has one handler per
        # topic, and unsubscribing would cut off other runs. Late outcomes find no receiver.
        dask_internals.subscribe(client, _deliver)

    def close(self) -> None:
        """Stop receiving."""
        _receivers.pop(self._run_id, None)


def _deliver(event: tuple[float, dict[str, Any]]) -> None:
    _, message = event
    receive = _receivers.get(message["run"])
    if receive is not None:
        receive(
            Report(
                message["batch"],
                message.get("outcome"),
                message.get("more", False),
                message.get("kept_until"),
            )
        )
