"""One client with two workers for all tests that need workers."""

import contextlib
import os

import dask
import pytest
from hypothesis import settings

# A slow example on a busy machine is no failure.
settings.register_profile("any-speed", deadline=None)
settings.load_profile("any-speed")


@pytest.fixture(scope="session", autouse=True)
def any_dashboard_port():
    """Dashboards take any free port, so that test runs do not get in each other's way."""
    with dask.config.set({"distributed.dashboard.link": "http://{host}:{port}/status"}):
        yield


@pytest.fixture(scope="session")
def _workers():
    from acme_cluster import cluster_cleanup, local_cluster_setup

    client = local_cluster_setup(n_workers=2, interactive=False)
    yield client
    cluster_cleanup(client)


@pytest.fixture
def workers(_workers, tmp_path, monkeypatch):
    """The client of the session, in an empty current folder."""
    monkeypatch.chdir(tmp_path)
    _workers.wait_for_workers(2, timeout=30)
    return _workers


@pytest.fixture
def empty_folder(tmp_path, monkeypatch):
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def children():
    """A function that returns the process ids of this process's children."""

    def pids():
        found = set()
        for task in os.listdir(f"/proc/{os.getpid()}/task"):
            with (
                contextlib.suppress(FileNotFoundError),  # the thread has ended meanwhile
                open(f"/proc/{os.getpid()}/task/{task}/children") as file,
            ):
                found |= set(map(int, file.read().split()))
        return found

    return pids


@pytest.fixture
def in_memory():
    """A function that computes with results in memory and returns the values."""
    from acme_core import ParallelMap

    def compute_in_memory(func, /, *args, compute=None, **kwargs):
        with ParallelMap(func, *args, write_worker_results=False, verbose=False, **kwargs) as pmap:
            return pmap.compute(**(compute or {}))

    return compute_in_memory
