"""How outcomes of batches come back: small ones as dask events, the others are fetched.

::

    worker ──event──▶ scheduler ──event──▶ OutcomeInbox ──▶ engine   a record, small values, or
       │                                                      ▲      the name of a file in memory
       └── result of the task ◀── fetched by the engine ──────┘      large, or lost on the way

Fetching a result makes the client, or the scheduler for it, connect to the worker, which takes
some milliseconds. An event travels on connections that are open anyway, and reaches the client
before the news that its task is done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed import Client

LARGEST_POSTED = 16 * 1024
"""Bytes; the scheduler keeps the last thousand events of a client."""

_receivers: dict[str, Callable[[int, bytes], None]] = {}


def event_topic(client: Client) -> str:
    """Name under which workers post to a client: no other client gets what is meant for it."""
    return f"acme-{client.id}"


def post_outcome(topic: str, run_id: str, number: int, content: bytes) -> None:
    """Send an outcome on its way, from a worker, unless it is too large.

    Parameters
    ----------
    topic : str
        Of the client.
    run_id : str
        Of the run.
    number : int
        Of the batch.
    content : bytes
        The pickled outcome.
    """
    from distributed import get_worker

    if len(content) <= LARGEST_POSTED:
        worker: Any = get_worker()
        worker.log_event(topic, {"run": run_id, "batch": number, "outcome": content})


class OutcomeInbox:
    """Receives the outcomes of one run while it is open.

    Parameters
    ----------
    client : distributed.Client
        To which they are sent.
    run_id : str
        Of the run.
    receive : callable
        Gets the number of a batch and its pickled outcome, in a thread of dask's.
    """

    def __init__(self, client: Client, run_id: str, receive: Callable[[int, bytes], None]) -> None:
        self._run_id = run_id
        _receivers[run_id] = receive
        # All runs of a client share one subscription, which stays: a late outcome finds nobody.
        subscribe: Any = client.subscribe_topic
        subscribe(event_topic(client), _deliver)

    def close(self) -> None:
        """Receive nothing any more."""
        _receivers.pop(self._run_id, None)


def _deliver(event: tuple[float, dict[str, Any]]) -> None:
    _, message = event
    receive = _receivers.get(message["run"])
    if receive is not None:
        receive(message["batch"], message["outcome"])
