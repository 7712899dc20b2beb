"""How outcomes of batches come back: small ones as dask events, the others are fetched.

::

    worker ──event──▶ scheduler ──event──▶ OutcomeInbox ──▶ engine   a record, small values, or
       │                                                      ▲      the name of a file in memory
       └── result of the task ◀── fetched by the engine ──────┘      large, or lost on the way

Fetching a result makes the client, or the scheduler on its behalf, connect to the worker, which
takes some milliseconds. An event travels on connections that are already open, and reaches the
client before the message that its task is done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from acme_core.transport import dask_internals

if TYPE_CHECKING:
    from distributed import Client

LARGEST_POSTED = 16 * 1024
"""Bytes up to which an outcome is posted as an event.

Schedulers that ACME did not start keep the last 1000 messages that they sent to a client
(``distributed.admin.low-level-log-length``), which then take 16 MB at most.
"""

# Of this process, by run id. Runs in several threads can share one client.
_receivers: dict[str, Callable[[int, bytes], None]] = {}


def post_outcome(topic: str, run_id: str, number: int, content: bytes) -> None:
    """Post the pickled outcome of a batch from a worker, unless it is too large."""
    if len(content) <= LARGEST_POSTED:
        dask_internals.post(topic, {"run": run_id, "batch": number, "outcome": content})


class OutcomeInbox:
    """Receives the outcomes of one run while it is open.

    Parameters
    ----------
    client : distributed.Client
        The client of the run.
    run_id : str
        Only outcomes of this run are received.
    receive : callable
        Called with the number of a batch and its pickled outcome, in dask's event loop thread: it
        must not block.
    """

    def __init__(self, client: Client, run_id: str, receive: Callable[[int, bytes], None]) -> None:
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
        receive(message["batch"], message["outcome"])
