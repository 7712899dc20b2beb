"""What schedulers, workers and connections keep of tasks that are gone."""

import time

import pytest
from distributed import span

from acme_cluster import cluster_cleanup, local_cluster_setup
from acme_cluster.lifetime.dask_config import calm

MOST = calm()["distributed.admin.low-level-log-length"]


@pytest.fixture(scope="module")
def client():
    client = local_cluster_setup(2, interactive=False)
    yield client
    cluster_cleanup(client)


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def run_tasks(client, n):
    for number in range(n):
        client.submit(abs, -number, pure=False).result()
    wait_until(lambda: not client.cluster.scheduler.tasks)


def logs_of_messages(client):
    scheduler = client.cluster.scheduler
    streams = [*scheduler.stream_comms.values(), *scheduler.client_comms.values()]
    return [stream.recent_message_log for stream in [*streams, client.scheduler_comm]]


def test_scheduler_forgets_tasks(client):
    run_tasks(client, 3 * MOST)
    scheduler = client.cluster.scheduler
    assert not scheduler.task_groups
    assert not scheduler.extensions["spans"].spans
    assert len(scheduler.computations) <= MOST
    assert len(scheduler.transition_log) <= MOST
    assert all(len(events) <= MOST for events in scheduler.get_events().values())
    assert all(len(log) <= MOST for log in logs_of_messages(client))


def test_workers_forget_tasks(client):
    def kept(dask_worker):
        metrics = {key for key in dask_worker.digests_total if key[0] == "execute"}
        return len(dask_worker.batched_stream.recent_message_log), metrics

    for _ in range(2):
        run_tasks(client, 3 * MOST)
        # Workers learn a moment later that the scheduler has forgotten a task.
        wait_until(
            lambda: not any(client.run(lambda dask_worker: len(dask_worker.state.tasks)).values())
        )
        for messages, metrics in client.run(kept).values():
            assert messages <= MOST
            # By function, and not by the time at which it was called.
            assert {(key[1], key[2]) for key in metrics} == {(None, "abs")}


def test_worker_that_joins_later_has_a_short_log(client):
    client.restart()
    run_tasks(client, 1)
    logs = logs_of_messages(client)
    assert len(logs) == 4
    assert all(log.maxlen == MOST for log in logs)


def test_spans_of_users_are_kept(client):
    with span("mine") as number:
        client.submit(abs, -1, pure=False).result()
    client.submit(abs, -1, pure=False).result()
    spans = client.cluster.scheduler.extensions["spans"]
    assert list(spans.spans) == [number]
    # Measured by the worker, and sent with its next sign of life.
    wait_until(lambda: spans.spans[number].cumulative_worker_metrics)
