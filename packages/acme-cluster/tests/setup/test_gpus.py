"""GPUs of local workers, which `CUDA_VISIBLE_DEVICES` alone makes up."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import dask
import psutil
import pytest
from distributed import Client

import acme_cluster
from acme_cluster import cluster_cleanup, local_cluster_setup, start_client

VARIABLE = "CUDA_VISIBLE_DEVICES"
MIG = "MIG-GPU-5d5ba0d6/1/0,MIG-GPU-5d5ba0d6/2/0"


@pytest.fixture(params=["own", "stock"])
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    """Both ways of making worker processes."""
    with dask.config.set({"acme.local.fork-server": request.param == "own"}):
        yield request.param


@pytest.fixture(autouse=True)
def four_gpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(VARIABLE, "3,5,7,9")
    yield
    if acme_cluster.current_client() is not None:
        cluster_cleanup()


def visible(client: Client) -> dict[int, str]:
    """Return the devices of each worker by process id."""
    seen = client.run(lambda: (os.getpid(), os.environ.get("CUDA_VISIBLE_DEVICES", "unset")))
    return dict(seen.values())


@pytest.mark.parametrize(
    ("inherited", "gpus", "shared_out"),
    [
        ("3,5,7,9", 1, ["3", "5"]),
        ("3,5,7,9", 2, ["3,5", "7,9"]),
        ("GPU-a,GPU-b", 1, ["GPU-a", "GPU-b"]),
        (MIG, 1, MIG.split(",")),
    ],
)
def test_each_worker_has_its_own(
    way: str, inherited: str, gpus: int, shared_out: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, inherited)
    client = local_cluster_setup(2, gpus_per_worker=gpus)
    assert sorted(visible(client).values()) == shared_out
    assert os.environ[VARIABLE] == inherited


@pytest.mark.parametrize("none", [None, 0])
def test_without_the_option_workers_inherit_the_variable(way: str, none: int | None) -> None:
    assert set(visible(local_cluster_setup(2, gpus_per_worker=none)).values()) == {"3,5,7,9"}


def test_a_worker_that_comes_back_has_the_same_gpus(way: str, until: Callable[..., None]) -> None:
    client = local_cluster_setup(2, gpus_per_worker=2)
    before = visible(client)
    lost = next(pid for pid, devices in before.items() if devices == "3,5")
    os.kill(lost, signal.SIGKILL)

    def replaced() -> bool:
        try:
            now = visible(client)
        except OSError:  # asked just when the connection broke
            return False
        return len(now) == 2 and lost not in now

    until(replaced, 60)
    kept = {pid: devices for pid, devices in before.items() if pid != lost}
    now = visible(client)
    assert {pid: now[pid] for pid in kept} == kept
    assert sorted(now.values()) == ["3,5", "7,9"]
    client.restart()
    assert sorted(visible(client).values()) == ["3,5", "7,9"]


def test_a_nanny_that_gave_up_is_replaced_with_the_same_gpus(
    way: str, until: Callable[..., None]
) -> None:
    client = local_cluster_setup(2, gpus_per_worker=1)
    nanny = min(client.cluster.workers.values(), key=lambda nanny: str(nanny.name))
    with dask.config.set({"distributed.deploy.lost-worker-timeout": "500ms"}):
        client.cluster.sync(nanny.close)
        until(lambda: nanny not in client.cluster.workers.values(), 60)
    until(lambda: len(client.scheduler_info()["workers"]) == 2, 60)
    assert sorted(visible(client).values()) == ["3", "5"]


def test_no_replacement_starts_before_the_lost_worker_has_ended(
    way: str, until: Callable[..., None]
) -> None:
    client = local_cluster_setup(1, gpus_per_worker=1)
    cluster = client.cluster
    (nanny,) = cluster.workers.values()
    (worker,) = visible(client)
    # The worker neither runs nor ends, and for the scheduler it is lost.
    os.kill(worker, signal.SIGSTOP)
    with dask.config.set({"distributed.deploy.lost-worker-timeout": "10ms"}):
        (address,) = cluster.scheduler.workers
        cluster.sync(cluster.scheduler.remove_worker, address, stimulus_id="test", close=False)
        until(lambda: nanny not in cluster.workers.values(), 60)
    alive_together = []

    def replaced() -> bool:
        new = [other.pid for other in cluster.workers.values() if other is not nanny]
        alive_together.append(bool(any(new) and psutil.pid_exists(worker)))
        return len(client.scheduler_info()["workers"]) == 1

    until(replaced, 60)
    assert not any(alive_together)
    assert list(visible(client).values()) == ["3"]


def test_there_are_no_more_workers_than_gpus_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acme_cluster.setup.local.usable_cores", lambda: 3)
    client = local_cluster_setup(gpus_per_worker=2)
    assert sorted(visible(client).values()) == ["3,5", "7,9"]
    cluster_cleanup(client)
    client = start_client(n_calls=1, gpus_per_worker=2)
    assert list(visible(client).values()) == ["3,5"]


def test_two_clusters_of_a_program_share_no_gpu() -> None:
    first = start_client(1, gpus_per_worker=2)
    second = start_client(1, gpus_per_worker=1)
    assert [*visible(first).values(), *visible(second).values()] == ["3,5", "7"]
    with pytest.raises(ValueError, match="has 4, 3 of them in use by other workers"):
        start_client(1, gpus_per_worker=2)
    cluster_cleanup(first)
    third = start_client(1, gpus_per_worker=2)
    assert list(visible(third).values()) == ["3,5"]
    cluster_cleanup(third)
    cluster_cleanup(second)


@pytest.mark.parametrize(
    ("inherited", "arguments", "error", "text"),
    [
        ("0,1", {"n_workers": 3, "gpus_per_worker": 1}, ValueError, "need 3 GPUs.* has 2 .*=2"),
        ("0,1", {"n_workers": 2, "gpus_per_worker": 2}, ValueError, "need 4 GPUs.* n_workers=1"),
        ("0,1", {"gpus_per_worker": 3}, ValueError, "need 3 GPUs.* gpus_per_worker=2"),
        ("", {"gpus_per_worker": 1}, ValueError, "has no GPU that can be used .CUDA_VISIBLE_DEV"),
        ("0", {"gpus_per_worker": -1}, ValueError, "gpus_per_worker"),
        ("0", {"gpus_per_worker": 0.5}, ValueError, "gpus_per_worker"),
        ("0", {"gpus_per_worker": "1"}, TypeError, "gpus_per_worker"),
        ("0", {"gpus_per_worker": True}, TypeError, "gpus_per_worker"),
    ],
)
@pytest.mark.parametrize("setup", [local_cluster_setup, start_client])
def test_too_many_are_an_error_before_anything_starts(
    setup: Callable[..., Client],
    inherited: str,
    arguments: dict[str, object],
    error: type[Exception],
    text: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("acme_cluster.setup.local.usable_cores", lambda: 3)
    monkeypatch.setenv(VARIABLE, inherited)
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with pytest.raises(error, match=text):
        setup(**arguments)
    assert {child.pid for child in psutil.Process().children(recursive=True)} == before


def test_a_cluster_does_not_grow_beyond_its_gpus(way: str) -> None:
    client = local_cluster_setup(2, gpus_per_worker=2)
    with pytest.raises(ValueError, match="enough for 2 workers"):
        client.cluster.scale(3)
    assert sorted(visible(client).values()) == ["3,5", "7,9"]


@pytest.mark.parametrize("given", [None, 0, 1])
def test_an_existing_client_is_used_with_a_warning(
    given: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    client = local_cluster_setup(1)
    capsys.readouterr()
    assert local_cluster_setup(gpus_per_worker=given) is client
    warned = "<local_cluster_setup> WARNING: gpus_per_worker has no effect"
    assert (warned in capsys.readouterr().err) is bool(given)


def test_esi_without_slurm_passes_it_on() -> None:
    with pytest.raises(ValueError, match="need 6 GPUs"):
        acme_cluster.esi_cluster_setup(n_workers=2, gpus_per_worker=3)
    with pytest.raises(TypeError, match="<esi_cluster_setup> `gpus_per_worker`"):
        acme_cluster.esi_cluster_setup(gpus_per_worker="one")  # type: ignore[arg-type]
    client = acme_cluster.esi_cluster_setup(n_workers=2, gpus_per_worker=2)
    assert sorted(visible(client).values()) == ["3,5", "7,9"]
