"""Everything that acme_core uses of dask and distributed beyond their documented interface.

A new release may change any of it without notice. All of it was verified with distributed 2025.1.0
(the oldest version allowed) and 2026.8.0; the tests named here are in
``tests/transport/test_dask_internals.py`` and fail when the behaviour changes.

======================  ==================================================  =======================
function                relies on                                           test
======================  ==================================================  =======================
`submit`                `Client.map` keeps tuple keys and merges            ``test_key_comes_back``,
                        `dask.annotate`; ``workers`` may map keys to        ``test_runs_on_chosen``,
                        workers, and is unpickled by the scheduler          ``test_waits``
`batch_number`          `Future.key` is the key as submitted                ``test_key_comes_back``
`is_data_lost`          `Future.status` goes from "finished" to "lost" or   ``test_lost_result``
                        "pending" when the only worker with it dies
`is_worker_death`       a task whose worker dies ends in `KilledWorker`     ``test_worker_death``
                        if ``allowed_failures`` is 0
`unassigned`            `Client.processing` lists tasks that run or are     ``test_unassigned``,
                        queued at a worker, and no others                   ``…_without_workers``
`cancel`, `is_closed`   `Client.status` is "running" until the client is    ``test_cancel``,
                        closed, and "closed" then                           ``test_cancel_closed``
`forget_keys`           `dask.utils.key_split` caches every key             ``test_keys_forgotten``
`event_topic`           `Client.id` is unique                               ``test_topics_differ``
`subscribe`, `poster`   an event that a task posts arrives before the       ``test_event_order``
                        client learns that the task is done;
                        `Worker.log_event` may be called by any thread;
                        `Scheduler._broker` keeps the events of a topic     ``test_no_event_kept``
`current_worker`        `Worker.address`; `Worker.state.nthreads`           ``test_current_worker``
`cancellation`          a running task that its client cancels stays in     ``test_cancellation``
                        `Worker.state.tasks`, in the state "cancelled"
`run_on_worker`         `Client.run` is a coroutine in the client's loop;   ``test_run_on_worker``
                        workers run it while they evaluate a task
`started_by_acme`       `Client.cluster` is the object it was made with,    ``test_started_by_acme``
                        `None` for an address
`MANY_WORKERS`          the limit in `decide_worker_non_rootish` of         ``test_many_workers``
                        ``distributed/scheduler.py``
======================  ==================================================  =======================
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

if TYPE_CHECKING:
    from distributed import Client
    from distributed import Future as DaskFuture

    Future = DaskFuture[Any]

__all__ = [
    "MANY_WORKERS",
    "batch_number",
    "cancel",
    "cancellation",
    "current_worker",
    "event_topic",
    "forget_keys",
    "is_closed",
    "is_data_lost",
    "is_worker_death",
    "poster",
    "run_on_worker",
    "started_by_acme",
    "submit",
    "subscribe",
    "unassigned",
]

logger = logging.getLogger(__name__)

MANY_WORKERS = 20
"""Number of workers from which dask's scheduler deals out tasks in turn.

Below it, the scheduler compares how much each worker still has to do.
"""


# -- tasks ---------------------------------------------------------------------------------


def submit(
    client: Client,
    func: Callable[[Any], Any],
    arguments: Sequence[Any],
    keys: Sequence[tuple[str, int]],
    workers: Mapping[tuple[str, int], str],
) -> list[Future]:
    """Submit one task per argument in one message, each to its worker in ``workers``, if any."""
    send: Any = client.map
    # `pure=False` and explicit keys: dask never merges equal calls.
    if not workers:
        futures: list[Future] = send(func, list(arguments), key=list(keys), pure=False)
        return futures
    from dask.base import annotate

    # `Client.map(workers=...)` takes one list for all tasks; only an annotation can be a callable
    # of the key. A method of a builtin class: the scheduler unpickles it without this package.
    chosen = {key: [worker] for key, worker in workers.items()}.get
    # Not `allow_other_workers`: dask would move tasks between workers, where the engine could
    # neither find them nor take them back. Those for a worker that is gone are `unassigned`.
    with annotate(workers=chosen):
        futures = send(func, list(arguments), key=list(keys), pure=False)
    return futures


def batch_number(future: Future) -> int:
    """Return the number in the key of a future from `submit`."""
    key: Any = future.key
    number: int = key[1]
    return number


def is_data_lost(future: Future) -> bool:
    """Whether a task ended but its result went with its worker; dask may be repeating it."""
    return future.status in ("lost", "pending")


def is_worker_death(error: BaseException | None) -> bool:
    """Whether a task failed because its worker died."""
    from distributed import KilledWorker

    return isinstance(error, KilledWorker)


def unassigned(client: Client, futures: Mapping[int, Future]) -> set[int]:
    """Ask the scheduler which tasks no worker has; ended ones are among them."""
    ask: Any = client.processing
    assigned = {key for keys in ask().values() for key in keys}
    return {number for number, future in futures.items() if future.key not in assigned}


def cancel(client: Client, futures: Iterable[Future]) -> None:
    """Cancel tasks, even if another client wants them; do nothing once the client is closed."""
    wanted = list(futures)
    if wanted and client.status == "running":
        client.cancel(wanted, force=True)


def is_closed(client: Client) -> bool:
    """Whether a client was closed, or is being closed."""
    return client.status in ("closing", "closed")


def forget_keys() -> None:
    """Remove the keys of ended tasks from a cache of dask, here and in a scheduler that is here.

    Every task has a key of its own, and dask caches up to 100 000 of them (20 MB).
    """
    from dask.utils import key_split

    key_split.cache_clear()


# -- events --------------------------------------------------------------------------------


def event_topic(client: Client) -> str:
    """Return the topic of a client's events; no other client subscribes to it."""
    return f"acme-{client.id}"


def subscribe(client: Client, handler: Callable[[tuple[float, Any]], None]) -> None:
    """Let ``handler`` receive the events of a client, in the thread of its event loop."""
    if client not in _without_log:
        _without_log.add(client)
        _keep_no_events(client)
    add: Any = client.subscribe_topic
    add(event_topic(client), handler)


# Clients whose scheduler keeps no events of their topic.
_without_log: WeakSet[Client] = WeakSet()


def _keep_no_events(client: Client) -> None:
    """Let the scheduler pass events of a client's topic on without keeping the last thousand."""
    topic = event_topic(client)

    # A local function is pickled by value: the scheduler may run where this package is not.
    def keep_none(dask_scheduler: Any) -> None:
        kept = dask_scheduler._broker._topics[topic]
        kept.events = type(kept.events)(maxlen=0)

    here = getattr(client.cluster, "scheduler", None)
    ask: Any = client.run_on_scheduler
    try:
        if hasattr(here, "_broker"):  # without a round trip
            keep_none(here)
        else:
            ask(keep_none)
    except Exception as error:  # another release of distributed, or one that runs no functions
        logger.debug(f"<ParallelMap> DEBUG: the scheduler keeps events of runs ({error!r})")


def poster(worker: Any = None) -> Callable[[str, Mapping[str, Any]], None]:
    """Return a function that posts an event from a worker, in any of its threads.

    Its arguments are a topic and a message that msgpack can serialize. Without ``worker``, it is
    the one whose task runs in this thread.
    """
    from distributed import get_worker

    worker = worker or get_worker()
    # The message that the task is done follows on the same stream, so the event arrives first.
    post: Callable[[str, Mapping[str, Any]], None] = worker.log_event
    return post


def cancellation() -> Callable[[], bool]:
    """Return a function that tells whether the task that runs in this thread is cancelled.

    dask lets a running task end, and drops its result. The function may be called in any thread.
    """
    from distributed import get_worker

    worker: Any = get_worker()
    key, tasks = worker.get_current_task(), worker.state.tasks

    def cancelled() -> bool:
        task = tasks.get(key)
        return task is not None and task.state == "cancelled"

    return cancelled


def run_on_worker(client: Client, worker: str, func: Callable[..., Any], *args: Any) -> None:
    """Run a function on a worker, beside its task, without waiting for it; errors are ignored.

    The function is pickled by reference and gets the worker as ``dask_worker`` if it wants it.
    """
    run: Any = client.run
    loop: Any = client.loop

    async def send() -> None:
        # The worker may be gone, and its batches are taken back then.
        with contextlib.suppress(Exception):
            await run(func, *args, workers=[worker], on_error="ignore")

    loop.add_callback(send)


# -- workers -------------------------------------------------------------------------------


def current_worker() -> tuple[str, int] | None:
    """Return address and number of threads of the worker that runs this code, if any."""
    from distributed import get_worker

    try:
        worker: Any = get_worker()
    except ValueError:  # not in a task of a worker
        return None
    return worker.address, worker.state.nthreads


def has_process_of_its_own() -> bool:
    """Whether the worker that runs this code is alone in its process, which a nanny watches."""
    from distributed import get_worker

    try:
        return get_worker().nanny is not None
    except ValueError:  # not in a task of a worker
        return False


def started_by_acme(client: Client) -> bool:
    """Whether acme_cluster started the workers of a client."""
    return type(client.cluster).__module__.startswith("acme_cluster.")
