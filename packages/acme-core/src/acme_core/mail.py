"""How outcomes of batches come back: small ones by post, the others are fetched.

::

    worker ──event──▶ scheduler ──event──▶ Inbox ──▶ engine      a record, small values, or where
       │                                              ▲          in memory large ones were left
       └── result of the task ◀── fetched by it ──────┘          large, or lost on the way

Fetching means a connection from the scheduler to the worker, and some milliseconds of each of them.
An event travels with what worker, scheduler and client tell each other anyway, and arrives before
the news that its task is done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed import Client

LARGEST_POSTED = 16 * 1024
"""Bytes; the scheduler keeps the last thousand events of a client."""

_receivers: dict[str, Callable[[int, bytes], None]] = {}


def topic_of(client: Client) -> str:
    """Name under which workers post to a client: no other client gets what is meant for it."""
    return f"acme-{client.id}"


def post(topic: str, run_id: str, number: int, content: bytes) -> None:
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


class Inbox:
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
        subscribe(topic_of(client), _deliver)

    def close(self) -> None:
        """Receive nothing any more."""
        _receivers.pop(self._run_id, None)


def _deliver(event: tuple[float, dict[str, Any]]) -> None:
    _, message = event
    receive = _receivers.get(message["run"])
    if receive is not None:
        receive(message["batch"], message["outcome"])
