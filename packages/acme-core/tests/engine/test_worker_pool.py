"""The workers that the engine knows of, and how often it asks for them."""

import logging

import pytest

from acme_core.engine.worker_pool import REFRESH_SECONDS, WorkerPool


class FakeClient:
    status = "running"

    def __init__(self, threads):
        self.threads = threads
        self.n_asked = 0

    def nthreads(self):
        self.n_asked += 1
        return self.threads


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

    monkeypatch.setattr("acme_core.engine.worker_pool.time.monotonic", lambda: Clock.now)
    return Clock


def test_slots_are_threads(clock):
    pool = WorkerPool(FakeClient({}), {"a": 1, "b": 3, "without threads": 0})
    assert pool.slots == 4
    assert dict(pool.threads) == {"a": 1, "b": 3}


def test_scheduler_is_asked_once_per_interval(clock):
    client = FakeClient({"a": 1, "b": 1})
    pool = WorkerPool(client, {"a": 1})
    assert not pool.refresh()
    clock.now += REFRESH_SECONDS
    assert pool.refresh()
    assert not pool.refresh()
    assert client.n_asked == 1
    assert pool.slots == 2


def test_expired_answer_is_refreshed_at_once(clock):
    client = FakeClient({})
    pool = WorkerPool(client, {"a": 1})
    pool.expire()
    assert pool.refresh()
    assert pool.slots == 0


def test_missing_workers_are_reported_once_a_minute(clock, caplog):
    caplog.set_level(logging.WARNING, "acme_core")
    pool = WorkerPool(FakeClient({}), {})
    for _ in range(130):
        clock.now += REFRESH_SECONDS
        pool.refresh()
    assert [record.message for record in caplog.records] == [
        "<ParallelMap> WARNING: no worker is left; waiting for new ones. "
        "Ctrl-C ends the run and keeps finished calls."
    ] * 2


def test_closed_client(clock):
    client = FakeClient({"a": 1})
    pool = WorkerPool(client, {"a": 1})
    clock.now += REFRESH_SECONDS
    client.status = "closed"
    with pytest.raises(ConnectionError, match=r"closed during the run\. Finished calls are kept"):
        pool.refresh()
