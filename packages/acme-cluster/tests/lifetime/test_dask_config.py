"""Idle workers cost next to nothing, and what the user has configured stays."""

from __future__ import annotations

import os
import time

import dask
import psutil

from acme_cluster import cluster_cleanup, local_cluster_setup
from acme_cluster.internals.preloading import registered
from acme_cluster.lifetime.dask_config import calm

TICK = "distributed.admin.tick.interval"


def test_what_the_user_has_set_stays():
    assert TICK in calm()
    with dask.config.set({TICK: "7ms"}):
        assert TICK not in calm()


def test_configuration_of_the_client_is_as_before():
    before = dask.config.get(TICK)
    client = local_cluster_setup(1)
    try:
        assert dask.config.get(TICK) == before
        assert client.submit(dask.config.get, TICK).result() == calm()[TICK]
    finally:
        cluster_cleanup(client)


def test_user_can_have_longer_logs():
    with dask.config.set({"distributed.admin.low-level-log-length": 25}):
        client = local_cluster_setup(1, interactive=False)
    try:
        scheduler = client.cluster.scheduler
        assert scheduler.transition_log.maxlen == 25
        assert {s.recent_message_log.maxlen for s in scheduler.stream_comms.values()} == {25}
    finally:
        cluster_cleanup(client)


def test_idle_workers_are_idle():
    client = local_cluster_setup(2, interactive=False)
    try:
        processes = [psutil.Process(pid) for pid in client.run(os.getpid).values()]

        def used() -> float:
            return sum(sum(process.cpu_times()[:2]) for process in processes)

        def busy_share() -> float:
            start, before = time.monotonic(), used()
            time.sleep(2)
            return (used() - before) / (time.monotonic() - start) / len(processes)

        # dask's own settings take two to three hundredths of a core; something else may run once.
        assert min(busy_share() for _ in range(3)) < 0.015
    finally:
        cluster_cleanup(client)


def test_modules_are_registered_by_entry_points(tmp_path, monkeypatch):
    folder = tmp_path / "tool-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: tool\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[acme_cluster.preload]\ntool = tool.on_workers\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "tool.on_workers" in registered()
