from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import sys
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path

import dask
import psutil
import pytest
from distributed import Client, KilledWorker

import acme_cluster
from acme_cluster.console import prompts


def dashboard(client: Client) -> str:
    return f"http://127.0.0.1:{client.cluster.scheduler.http_server.port}"


def other_processes() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def test_workers_compute_one_call_at_a_time(client: Client) -> None:
    assert client.gather(client.map(pow, [2, 3], [5, 2], pure=False)) == [32, 9]
    assert set(client.nthreads().values()) == {1}
    assert len(client.nthreads()) == 2


def test_the_client_knows_its_workers() -> None:
    client = acme_cluster.local_cluster_setup(2)
    shown = repr(client)
    acme_cluster.cluster_cleanup(client)
    assert "processes=2 threads=2" in shown


def test_default_is_one_worker_per_core() -> None:
    client = acme_cluster.local_cluster_setup()
    assert len(client.nthreads()) == len(os.sched_getaffinity(0))
    acme_cluster.cluster_cleanup(client)


def test_process_environment_and_multiprocessing_stay_as_they_were(client: Client) -> None:
    acme_cluster.cluster_cleanup(client)
    before = dict(os.environ), multiprocessing.get_start_method(allow_none=True)
    again = acme_cluster.local_cluster_setup(n_workers=1)
    assert (dict(os.environ), multiprocessing.get_start_method(allow_none=True)) == before
    acme_cluster.cluster_cleanup(again)


def test_workers_have_the_environment_and_folder_of_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme_cluster.warm_up()
    monkeypatch.setenv("ACME_TEST_VARIABLE", "set late")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.chdir(tmp_path)
    client = acme_cluster.local_cluster_setup(n_workers=1)
    seen = client.submit(
        lambda: (os.environ["ACME_TEST_VARIABLE"], os.environ["OMP_NUM_THREADS"], os.getcwd())
    ).result()
    acme_cluster.cluster_cleanup(client)
    assert seen == ("set late", "1", str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_workers_draw_different_random_numbers(client: Client) -> None:
    def draw() -> tuple[float, float]:
        import random

        import numpy as np

        return random.random(), np.random.random_sample()

    (a, b), (c, d) = client.run(draw).values()
    assert a != c
    assert b != d


@pytest.mark.parametrize("count", [0, -1, 2.5, float("nan")])
def test_impossible_numbers_of_workers(count: object) -> None:
    before = other_processes()
    with pytest.raises(ValueError, match="n_workers"):
        acme_cluster.local_cluster_setup(count)  # type: ignore[arg-type]
    assert other_processes() == before


@pytest.mark.parametrize("count", ["4", True, [1]])
def test_numbers_of_workers_that_are_no_numbers(count: object) -> None:
    with pytest.raises(TypeError, match="n_workers"):
        acme_cluster.local_cluster_setup(count)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("memory", "error"),
    [("lots", ValueError), ("8", ValueError), ([8], TypeError), (-1, ValueError)],
)
def test_impossible_memory(memory: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="mem_per_worker"):
        acme_cluster.local_cluster_setup(1, memory)  # type: ignore[arg-type]


def test_interactive_has_to_be_a_truth_value() -> None:
    with pytest.raises(TypeError, match="interactive"):
        acme_cluster.local_cluster_setup(1, None, "yes")  # type: ignore[arg-type]


def test_memory_is_limited_as_asked() -> None:
    client = acme_cluster.local_cluster_setup(1, "300MB")
    (worker,) = client.scheduler_info()["workers"].values()
    acme_cluster.cluster_cleanup(client)
    assert worker["memory_limit"] == 300 * 2**20


def test_too_much_memory_is_asked_about_only_at_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = other_processes()
    with monkeypatch.context() as terminal:
        terminal.setattr(prompts.sys.stdin, "isatty", lambda: True, raising=False)
        terminal.setattr("builtins.input", lambda question: "n")
        with pytest.raises(RuntimeError, match="declined"):
            acme_cluster.local_cluster_setup(1, "900TB")
    assert other_processes() == before
    client = acme_cluster.start_client(1, mem_per_worker="900TB")
    acme_cluster.cluster_cleanup(client)


def test_more_workers_than_cores_get_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    count = len(os.sched_getaffinity(0)) + 1
    client = acme_cluster.local_cluster_setup(count)
    assert len(client.nthreads()) == count
    acme_cluster.cluster_cleanup(client)
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert any(f"{count} workers share" in message for message in warnings)


def test_as_many_workers_as_calls() -> None:
    client = acme_cluster.start_client(None, n_calls=1)
    assert len(client.nthreads()) == 1
    acme_cluster.cluster_cleanup(client)


@pytest.mark.parametrize("caller", ["start_client", "SomeProgram"])
def test_warnings_name_the_function_that_the_user_called(
    caller: str, caplog: pytest.LogCaptureFixture
) -> None:
    named = {} if caller == "start_client" else {"caller": caller}
    cores = len(os.sched_getaffinity(0))
    client = acme_cluster.start_client(cores + 1, partition="large", **named)
    acme_cluster.cluster_cleanup(client)
    texts = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert [text.split(" WARNING: ")[0] for text in texts] == [f"<{caller}>"] * 2
    assert "partition='large' has no effect" in texts[0]
    assert f"{cores} are started" in texts[1]


def test_something_else_is_done_while_workers_start() -> None:
    calls: list[list[int]] = []
    client = acme_cluster.start_client(1, meanwhile=lambda: calls.append([1]))
    assert calls == [[1]]
    assert client.submit(pow, 2, 5).result() == 32
    acme_cluster.cluster_cleanup(client)


@pytest.mark.parametrize("error", [KeyError("x"), KeyboardInterrupt()])
def test_what_fails_meanwhile_ends_the_start(error: BaseException) -> None:
    def fail() -> None:
        raise error

    before = other_processes()
    with pytest.raises(type(error)) as caught:
        acme_cluster.start_client(1, meanwhile=fail)
    assert caught.value is error
    assert other_processes() == before
    assert acme_cluster.current_client() is None


def test_a_live_client_is_picked_up(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    assert acme_cluster.current_client() is client
    assert acme_cluster.local_cluster_setup(1) is client
    message = "<local_cluster_setup> INFO: Attaching to global parallel computing client <Client: "
    assert message in capsys.readouterr().err


def test_a_client_without_workers_is_replaced(until: Callable[..., None]) -> None:
    first = acme_cluster.local_cluster_setup(1)
    first.cluster.scale(0)
    until(lambda: not first.cluster.scheduler.workers)
    assert acme_cluster.current_client() is None
    assert first.status == "closed"


def test_no_client_is_no_client() -> None:
    assert acme_cluster.current_client() is None


def test_a_killed_worker_costs_its_call_and_comes_back(
    client: Client, until: Callable[..., None]
) -> None:
    victim, pid = next(iter(client.run(os.getpid).items()))
    with pytest.raises(KilledWorker):
        client.submit(os.kill, pid, signal.SIGKILL, workers=[victim]).result()
    until(lambda: len(client.cluster.scheduler.workers) == 2)
    assert pid not in client.run(os.getpid).values()


def test_restart_gives_new_processes(client: Client) -> None:
    before = set(client.run(os.getpid).values())
    client.restart()
    assert not before & set(client.run(os.getpid).values())


def test_dashboard_is_built_when_it_is_opened(client: Client) -> None:
    for path in ("/status", "/", "/workers", "/individual-task-stream"):
        with urllib.request.urlopen(dashboard(client) + path, timeout=60) as answer:
            page = answer.read().decode()
            assert answer.status == 200
        assert "bokeh" in page.lower()
        assert "Dask" in page
    with urllib.request.urlopen(dashboard(client) + "/health", timeout=60) as answer:
        assert answer.read() == b"ok"


def test_pages_are_served_on_the_loopback_address_by_the_client_only(client: Client) -> None:
    listening = [c.laddr for c in psutil.Process().net_connections() if c.status == "LISTEN"]
    assert {address.ip for address in listening} == {"127.0.0.1"}
    ports = {int(a.rsplit(":", 1)[1]) for a in client.scheduler_info()["workers"]}
    for pid in client.run(os.getpid).values():
        open_ports = [
            c.laddr for c in psutil.Process(pid).net_connections() if c.status == "LISTEN"
        ]
        assert {address.ip for address in open_ports} == {"127.0.0.1"}
        assert {address.port for address in open_ports} <= ports


def test_dashboard_can_be_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    with dask.config.set({"acme.dashboard": False}):
        client = acme_cluster.local_cluster_setup(1)
    assert "dashboard" not in client.cluster.scheduler.services
    assert client.submit(pow, 2, 2).result() == 4
    acme_cluster.cluster_cleanup(client)
    assert "dashboard" not in capsys.readouterr().err


def test_dashboard_message_and_the_next_free_port(capsys: pytest.CaptureFixture[str]) -> None:
    with dask.config.set({"acme.dashboard-port": 23787}):
        one = acme_cluster.start_client(1)
        two = acme_cluster.start_client(1)
        links = {dashboard(one), dashboard(two)}
        acme_cluster.cluster_cleanup(two)
        acme_cluster.cluster_cleanup(one)
        client = acme_cluster.local_cluster_setup(1)
        link = dashboard(client) + "/status"
        acme_cluster.cluster_cleanup(client)
    assert len(links) == 2
    line = f"<local_cluster_setup> Cluster dashboard accessible at {link}\n"
    assert line in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variable", "value", "hint"),
    [
        ("JUPYTERHUB_SERVICE_PREFIX", "/user/ada/", "/user/ada/proxy/"),
        ("SSH_CONNECTION", "10.0.0.1 5 10.0.0.2 22", "ssh -L "),
    ],
)
def test_how_to_reach_the_dashboard_from_elsewhere(
    variable: str,
    value: str,
    hint: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    monkeypatch.setenv(variable, value)
    acme_cluster.cluster_cleanup(acme_cluster.local_cluster_setup(1))
    assert hint in capsys.readouterr().err.splitlines()[1]


def test_cleanup_leaves_no_process_and_says_what_it_closed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = other_processes()
    client = acme_cluster.local_cluster_setup(2)
    scratch = Path(client.cluster.scratch)
    assert scratch.stat().st_mode & 0o777 == 0o700
    acme_cluster.cluster_cleanup()
    assert other_processes() == before
    assert not scratch.exists()
    assert not scratch.parent.exists()
    acme_cluster.cluster_cleanup()
    acme_cluster.cluster_cleanup(client)
    text = capsys.readouterr().err
    assert "INFO: Closed <Client: 'tls://127.0.0.1:" in text
    assert "There is no parallel computing client" in text
    assert "closed already" in text


def test_cleanup_of_what_is_no_client() -> None:
    with pytest.raises(TypeError, match="cluster_cleanup"):
        acme_cluster.cluster_cleanup("client")  # type: ignore[arg-type]


def test_cleanup_with_a_dead_scheduler() -> None:
    client = acme_cluster.local_cluster_setup(1)
    client.cluster.sync(client.cluster.scheduler.close)
    acme_cluster.cluster_cleanup(client)
    assert client.status == "closed"


def test_a_client_by_address_is_closed_and_its_cluster_runs_on(client: Client) -> None:
    second = Client(client.scheduler.address, security=client.security, set_as_default=False)
    acme_cluster.cluster_cleanup(second)
    assert client.submit(pow, 3, 2).result() == 9


def test_in_a_thread_and_in_a_running_event_loop() -> None:
    results = []

    def use() -> None:
        client = acme_cluster.local_cluster_setup(1)
        results.append(client.submit(pow, 2, 3).result())
        acme_cluster.cluster_cleanup(client)

    async def main() -> None:
        use()

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    asyncio.run(main())
    assert results == [8, 8]


def test_workers_that_cannot_start_are_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    before = other_processes()
    with (
        dask.config.set({"distributed.worker.preload": ["no_such_module_for_workers"]}),
        pytest.raises(RuntimeError, match="could not be started"),
    ):
        acme_cluster.local_cluster_setup(1)
    assert other_processes() == before


def test_fork_server_has_one_thread_and_is_found_by_nobody_else(client: Client) -> None:
    # Spawned processes of other tests may have left the resource tracker of `multiprocessing`.
    children = psutil.Process().children()
    (server,) = (p for p in children if "resource_tracker" not in " ".join(p.cmdline()))
    assert server.num_threads() == 1
    folder = Path(client.cluster.scratch).parent
    assert folder.stat().st_mode & 0o777 == 0o700
    assert sys.executable == server.exe() or os.path.samefile(sys.executable, server.exe())
