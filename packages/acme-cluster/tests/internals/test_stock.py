"""Workers behave the same without our own processes: distributed's nannies, and spawn."""

from __future__ import annotations

import os
import signal
import sys
import urllib.request
from collections.abc import Callable, Iterator
from multiprocessing import spawn

import dask
import distributed
import psutil
import pytest
from distributed import Client
from distributed.nanny import WorkerProcess

import acme_cluster
from acme_cluster.internals import choice, probe
from acme_cluster.internals.stock import StockLocalWorkers


@pytest.fixture
def switched_off() -> Iterator[None]:
    with dask.config.set({"acme.local.fork-server": False}):
        yield


@pytest.fixture
def stock(switched_off: None) -> Iterator[Client]:
    client = acme_cluster.local_cluster_setup(n_workers=2)
    yield client
    acme_cluster.cluster_cleanup(client)


def test_workers_are_distributeds_own(stock: Client) -> None:
    assert isinstance(stock.cluster, StockLocalWorkers)
    assert {type(nanny) for nanny in stock.cluster.workers.values()} == {distributed.Nanny}
    assert stock.submit(pow, 2, 10).result() == 1024


def test_traffic_is_encrypted_and_stays_on_the_loopback_address(stock: Client) -> None:
    assert stock.scheduler.address.startswith("tls://127.0.0.1:")
    for pid in [os.getpid(), *stock.run(os.getpid).values()]:
        connections = psutil.Process(pid).net_connections()
        assert {c.laddr.ip for c in connections if c.status == "LISTEN"} == {"127.0.0.1"}


def test_workers_know_their_cores(stock: Client) -> None:
    def known() -> tuple[str | None, str | None]:
        return os.environ.get("ACME_WORKER_CORES"), os.environ.get("OMP_NUM_THREADS")

    assert set(stock.run(known).values()) == {("1", "1")}


def test_a_killed_worker_is_replaced(stock: Client, until: Callable[..., None]) -> None:
    before = set(stock.run(os.getpid).values())
    os.kill(min(before), signal.SIGKILL)

    def replaced() -> bool:
        try:
            now = set(stock.run(os.getpid).values())
        except OSError:  # asked just when the connection broke
            return False
        return len(now) == 2 and min(before) not in now

    until(replaced)
    assert stock.submit(pow, 3, 2).result() == 9


@pytest.mark.parametrize("kind", ["stock", "client"])
def test_a_nanny_that_gave_up_is_replaced(
    kind: str, request: pytest.FixtureRequest, until: Callable[..., None]
) -> None:
    client = request.getfixturevalue(kind)
    nanny = min(client.cluster.workers.values(), key=lambda nanny: str(nanny.name))
    with dask.config.set({"distributed.deploy.lost-worker-timeout": "500ms"}):
        client.cluster.sync(nanny.close)
        until(lambda: nanny not in client.cluster.workers.values(), 60)
    until(lambda: len(client.scheduler_info()["workers"]) == 2, 60)
    assert client.submit(pow, 2, 5).result() == 32


def test_nothing_is_left(switched_off: None) -> None:
    # `multiprocessing` keeps its resource tracker, which spawned processes need, until the end.
    tracker = "resource_tracker"
    client = acme_cluster.local_cluster_setup(2)
    scratch = client.cluster.scratch
    acme_cluster.cluster_cleanup(client)
    left = [p for p in psutil.Process().children() if tracker not in " ".join(p.cmdline())]
    assert left == []
    assert not os.path.exists(scratch)


def test_the_dashboard_works_and_can_be_left_out(
    stock: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    link = f"http://127.0.0.1:{stock.cluster.scheduler.services['dashboard'].port}/status"
    with urllib.request.urlopen(link, timeout=60) as answer:
        assert b"bokeh" in answer.read().lower()
    capsys.readouterr()
    with dask.config.set({"acme.dashboard": False}):
        client = acme_cluster.start_client(1)
        acme_cluster.cluster_cleanup(client)
    assert "dashboard" not in capsys.readouterr().err


def test_a_script_needs_no_guard(script) -> None:  # type: ignore[no-untyped-def]
    program = script.write(
        "import acme_cluster\n"
        "print('script')\n"
        "def double(x):\n    return 2 * x\n"
        "client = acme_cluster.local_cluster_setup(2)\n"
        "print(client.submit(double, 21).result())\n"
        "acme_cluster.cluster_cleanup(client)\n"
    )
    script.env["DASK_ACME__LOCAL__FORK_SERVER"] = "false"
    out, _ = script.run(str(program))
    assert out.split() == ["script", "42"]


def test_processes_of_the_user_are_as_always(
    stock: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "program.py", raising=False)
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    assert "init_main_from_path" in spawn.get_preparation_data("a process of the user's")
    acme_cluster.cluster_cleanup(stock)
    assert spawn.get_preparation_data.__module__ == "multiprocessing.spawn"


def test_other_internals_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(WorkerProcess, "_on_exit")
    probe._findings.cache_clear()
    try:
        assert probe.findings() == ["distributed.nanny.WorkerProcess has no `_on_exit`"]
        assert not choice.own_processes()
    finally:
        probe._findings.cache_clear()


def test_then_distributeds_own_way_is_taken_with_one_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(probe, "findings", lambda: ["distributed.nanny has no `x`"])
    choice._warn.cache_clear()
    for _ in range(2):
        client = acme_cluster.local_cluster_setup(1)
        assert isinstance(client.cluster, StockLocalWorkers)
        assert client.submit(pow, 2, 2).result() == 4
        acme_cluster.cluster_cleanup(client)
    said = capsys.readouterr().err
    assert said.count("distributed.nanny has no `x`") == 1
    assert said.count("acme.local.fork-server: false") == 1


def test_this_distributed_is_as_expected() -> None:
    """Fails with a distributed (or Python) whose internals have changed: see the room's table."""
    assert probe.findings() == []
