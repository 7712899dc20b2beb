"""The undocumented behaviour of dask and distributed that acme_core relies on.

A failure here after an update of distributed names the function of `dask_internals` to mend.
"""

import inspect
import os
import re
import threading
import time
from pathlib import Path
from signal import SIGKILL

import pytest
from distributed import Client, KilledWorker, LocalCluster, Scheduler, wait
from distributed.scheduler import SchedulerState

import acme_core
from acme_core.transport import dask_internals


def keys(name, n):
    return [(f"internals-{name}", number) for number in range(n)]


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_key_comes_back(workers):
    futures = dask_internals.submit(workers, abs, [-1, -1, -3], keys("key", 3), {})
    assert workers.gather(futures) == [1, 1, 3]
    assert [dask_internals.batch_number(future) for future in futures] == [0, 1, 2]


def test_runs_on_chosen(workers):
    first, second = workers.nthreads()
    chosen = dict(zip(keys("chosen", 4), [first, second, second, second], strict=True))
    futures = dask_internals.submit(
        workers, lambda _: dask_internals.current_worker()[0], range(4), list(chosen), chosen
    )
    assert workers.gather(futures) == list(chosen.values())


def test_waits(workers):
    """A task for a worker that does not exist stays with the scheduler, assigned to none."""
    (key,) = keys("elsewhere", 1)
    (future,) = dask_internals.submit(workers, abs, [-1], [key], {key: "tls://127.0.0.1:1"})
    assert dask_internals.unassigned(workers, {0: future}) == {0}
    assert future.status == "pending"
    dask_internals.cancel(workers, [future])


def test_current_worker(workers):
    assert dask_internals.current_worker() is None
    found = workers.submit(lambda: dask_internals.current_worker(), pure=False).result()
    assert found in workers.nthreads().items()


def test_unassigned(workers):
    """Tasks that run or are queued at a worker are assigned; ended ones are not."""
    submitted = dask_internals.submit(workers, time.sleep, [0.3] * 3, keys("unassigned", 3), {})
    futures = dict(enumerate(submitted))
    wait_until(lambda: dask_internals.unassigned(workers, futures) == set())
    wait(submitted)
    wait_until(lambda: dask_internals.unassigned(workers, futures) == {0, 1, 2})


def test_unassigned_without_workers():
    """A task for a worker that is gone waits for it if no worker exists at that moment."""
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        (worker,) = client.nthreads()
        cluster.scale(0)
        wait_until(lambda: not client.nthreads())
        (key,) = keys("gone", 1)
        (future,) = dask_internals.submit(client, abs, [-1], [key], {key: worker})
        cluster.scale(1)
        client.wait_for_workers(1, timeout=30)
        assert dask_internals.unassigned(client, {0: future}) == {0}
        assert future.status == "pending"


def test_event_order(workers):
    """An event of a task is handled before the callback of its future runs."""
    happened, received = [], threading.Semaphore(0)

    def note(kind, what):
        happened.append((kind, what))
        received.release()

    dask_internals.subscribe(workers, lambda event: note("event", event[1]["number"]))
    topic = dask_internals.event_topic(workers)
    futures = dask_internals.submit(
        workers,
        lambda number: dask_internals.poster()(topic, {"number": number}),
        range(20),
        keys("event", 20),
        {},
    )
    for future in futures:
        future.add_done_callback(lambda f: note("done", dask_internals.batch_number(f)))
    for _ in range(40):
        assert received.acquire(timeout=20)
    for number in range(20):
        assert happened.index(("event", number)) < happened.index(("done", number))


@pytest.mark.parametrize("by_address", [False, True])
def test_no_event_kept(by_address):
    """The scheduler passes events on; other topics keep theirs."""
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster.scheduler_address if by_address else cluster, set_as_default=False) as one,
    ):
        received, topic = threading.Semaphore(0), dask_internals.event_topic(one)

        def post(number):
            dask_internals.poster()(topic, {"number": number})

        for _ in range(2):
            dask_internals.subscribe(one, lambda event: received.release())
        for number in range(3):
            one.submit(post, number).result(timeout=20)
            assert received.acquire(timeout=20)
        one.log_event("another", "kept")
        assert not one.get_events(topic)
        assert len(one.get_events("another")) == 1


def test_events_arrive_without_the_broker(workers, monkeypatch):
    """A scheduler with other internals keeps events, and nothing else changes."""
    monkeypatch.setattr(dask_internals, "_without_log", set())
    monkeypatch.delattr(workers.cluster.scheduler, "_broker")
    dask_internals.subscribe(workers, lambda event: None)


def test_keys_forgotten(workers):
    from dask.utils import key_split

    (future,) = dask_internals.submit(workers, abs, [-1], keys("forgotten", 1), {})
    wait(future)
    assert key_split.cache_info().currsize
    dask_internals.forget_keys()
    assert not key_split.cache_info().currsize


def test_topics_differ(workers):
    with Client(workers.cluster, set_as_default=False) as other:
        assert dask_internals.event_topic(other) != dask_internals.event_topic(workers)


def test_lost_result(workers):
    """A result that dies with its worker is "lost", then "pending" while dask repeats the task."""

    def slow_pid(seconds):
        time.sleep(seconds)
        return os.getpid()

    (future,) = dask_internals.submit(workers, slow_pid, [0.3], keys("lost", 1), {})
    first = future.result(timeout=20)
    assert not dask_internals.is_data_lost(future)
    os.kill(first, SIGKILL)
    wait_until(lambda: dask_internals.is_data_lost(future))
    wait_until(lambda: future.status == "finished")
    assert future.result(timeout=20) != first
    workers.wait_for_workers(2, timeout=30)


def test_worker_death(workers):
    (future,) = dask_internals.submit(workers, os._exit, [1], keys("death", 1), {})
    error = future.exception(timeout=20)
    assert isinstance(error, KilledWorker)
    assert dask_internals.is_worker_death(error)
    assert not dask_internals.is_worker_death(RuntimeError())
    assert not dask_internals.is_worker_death(None)
    workers.wait_for_workers(2, timeout=30)


def test_cancel(workers):
    futures = dask_internals.submit(workers, time.sleep, [0.2] * 8, keys("cancel", 8), {})
    dask_internals.cancel(workers, futures)
    wait_until(lambda: all(future.cancelled() for future in futures))


def test_cancel_closed(workers):
    other = Client(workers.cluster, set_as_default=False)
    futures = dask_internals.submit(other, abs, [-1], keys("closed", 1), {})
    wait(futures)
    assert other.status == "running"
    assert not dask_internals.is_closed(other)
    other.close()
    assert dask_internals.is_closed(other)
    dask_internals.cancel(other, futures)


def test_started_by_acme(workers):
    assert dask_internals.started_by_acme(workers)
    security = workers.security
    with Client(workers.scheduler.address, security=security, set_as_default=False) as by_address:
        assert by_address.cluster is None
        assert not dask_internals.started_by_acme(by_address)


def test_many_workers():
    """The scheduler compares workers only up to this number of them."""
    source = inspect.getsource(SchedulerState.decide_worker_non_rootish)
    assert f"n_workers < {dask_internals.MANY_WORKERS}:" in source
    assert issubclass(Scheduler, SchedulerState)


@pytest.mark.parametrize("name", dask_internals.__all__)
def test_every_function_is_in_the_table(name):
    assert f"`{name}`" in dask_internals.__doc__


def test_cancellation(workers, tmp_path):
    """A running task learns that it is cancelled, and may end when it likes."""

    def work(folder):
        cancelled = dask_internals.cancellation()
        Path(folder, "begun").write_text(str(cancelled()))
        while not cancelled():
            time.sleep(0.002)
        Path(folder, "cancelled").touch()

    (future,) = dask_internals.submit(workers, work, [str(tmp_path)], keys("cancellation", 1), {})
    wait_until((tmp_path / "begun").exists)
    dask_internals.cancel(workers, [future])
    wait_until((tmp_path / "cancelled").exists)
    assert (tmp_path / "begun").read_text() == "False"


def test_run_on_worker(workers, tmp_path):
    """A function runs on a worker while that evaluates a task."""

    def work(folder):
        Path(folder, "begun").touch()
        while not Path(folder, "told").exists():
            time.sleep(0.002)
        return dask_internals.current_worker()[0]

    def tell(folder, dask_worker):
        Path(folder, "told").write_text(dask_worker.address)

    (key,) = keys("beside", 1)
    worker = next(iter(workers.nthreads()))
    (future,) = dask_internals.submit(workers, work, [str(tmp_path)], [key], {key: worker})
    wait_until((tmp_path / "begun").exists)
    dask_internals.run_on_worker(workers, worker, tell, str(tmp_path))
    assert future.result(timeout=20) == worker
    wait_until(lambda: (tmp_path / "told").read_text() == worker)


def test_no_other_module_relies_on_them():
    package = Path(acme_core.__file__).parent
    internal = re.compile(
        r"get_worker|log_event|get_current_task|subscribe_topic|annotate\(|\.processing\b"
        r"|KilledWorker"
        r"|client\.(id|status|cluster|map)\b|future\.key\b|\bclient\._|\.state\.nthreads"
    )
    users = {
        path.name
        for path in package.rglob("*.py")
        if any(internal.search(line.split("#")[0]) for line in path.read_text().splitlines())
    }
    assert users == {"dask_internals.py"}
