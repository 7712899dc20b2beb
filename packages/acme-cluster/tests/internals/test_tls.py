from __future__ import annotations

import ssl
import time
from pathlib import Path

import dask
import pytest
from distributed import Client
from distributed.security import Security

import acme_cluster
from acme_cluster.internals import fork_server
from acme_cluster.internals.tls import cluster_security
from acme_cluster.keys import make_keys


def test_keys_are_different_each_time_and_not_shown() -> None:
    one, two = make_keys(), make_keys()
    assert one.key != two.key
    assert "PRIVATE" in one.key
    assert "PRIVATE" not in repr(one)
    assert "PRIVATE" not in repr(cluster_security(one))


def test_contexts_ask_both_sides_for_the_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    security = cluster_security(make_keys())
    for args in (security.get_listen_args("scheduler"), security.get_connection_args("worker")):
        assert args["ssl_context"].verify_mode is ssl.CERT_REQUIRED
        assert args["require_encryption"]


@pytest.mark.parametrize("other", ["no keys", "other keys"])
def test_nobody_without_the_keys_can_connect(client: Client, other: str) -> None:
    workers = client.scheduler_info()["workers"]
    addresses = [client.scheduler.address, *workers, *(w["nanny"] for w in workers.values())]
    assert all(address.startswith("tls://127.0.0.1:") for address in addresses)
    intruder = cluster_security(make_keys()) if other == "other keys" else Security()
    for address in addresses:
        if other == "no keys":
            address = address.replace("tls://", "tcp://")
        with pytest.raises((OSError, TimeoutError)):
            Client(address, security=intruder, timeout=2)


def test_the_same_attempt_succeeds_without_tls() -> None:
    with dask.config.set({"acme.local.tls": False}):
        client = acme_cluster.local_cluster_setup(n_workers=1)
    try:
        assert client.scheduler.address.startswith("tcp://127.0.0.1:")
        with Client(client.scheduler.address, set_as_default=False) as second:
            assert second.submit(pow, 2, 3).result() == 8
    finally:
        acme_cluster.cluster_cleanup(client)


def test_each_local_cluster_has_keys_of_its_own() -> None:
    certificates = []
    for _ in range(2):
        client = acme_cluster.local_cluster_setup(n_workers=1)
        try:
            certificates.append(client.security.tls_ca_file)
        finally:
            acme_cluster.cluster_cleanup(client)
    one, two = certificates
    assert "CERTIFICATE" in one
    assert one != two


def test_cooling_down_ends_what_was_warmed_up_for_nothing() -> None:
    acme_cluster.warm_up()
    server = fork_server.running()
    acme_cluster.cool_down()
    deadline = time.monotonic() + 60  # it may be in the middle of its imports
    while not server.ended():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not Path(server.folder).exists()


def test_cooling_down_leaves_workers_alone(client: Client) -> None:
    server = fork_server.running()
    acme_cluster.cool_down()
    assert not server.ended()
    assert client.submit(pow, 2, 3).result() == 8
