"""Other users of the machine cannot connect to a cluster, even if they know its addresses.

Without TLS the same attempts succeed, which proves that they are valid.
"""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any

import dask
import pytest
from distributed import Client

import acme_cluster
from acme_cluster import cluster_cleanup, slurm_cluster_setup

OTHER = "acmelabother"

# Uses no dask, because other users cannot run the interpreter of this test. Imitates the start of a
# dask connection: connect, then read the greeting of the server.
ATTACK = """
import json, socket, ssl, sys
from concurrent.futures import ThreadPoolExecutor

def reached(address, encrypted):
    host, port = address.rpartition("://")[2].rsplit(":", 1)
    try:
        with socket.create_connection((host, int(port)), timeout=5) as raw:
            raw.settimeout(5)
            if encrypted:
                context = ssl.create_default_context()
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
                raw = context.wrap_socket(raw)
            # A dask server sends a greeting to every client that can connect.
            return len(raw.recv(8)) == 8
    except OSError as error:
        print(address, error, file=sys.stderr)
        return False

def readable(path):
    try:
        open(path).read()
    except OSError as error:
        print(path, error, file=sys.stderr)
        return False
    return True

wanted = json.loads(sys.argv[1])
with ThreadPoolExecutor(20) as pool:
    tries = {
        "encrypted": list(pool.map(lambda address: reached(address, True), wanted["addresses"])),
        "plain": list(pool.map(lambda address: reached(address, False), wanted["addresses"])),
    }
print(json.dumps({
    **tries,
    "files": [readable(path) for path in wanted["files"]],
}))
"""


@pytest.fixture(scope="module")
def other_user() -> int:
    try:
        return pwd.getpwnam(OTHER).pw_uid
    except KeyError:
        subprocess.run(["useradd", "--no-create-home", OTHER], check=True)
        return pwd.getpwnam(OTHER).pw_uid


def addresses_of(client: Any) -> list[str]:
    workers = client.scheduler_info()["workers"]
    nannies = [worker["nanny"] for worker in workers.values()]
    return [client.scheduler.address, *workers, *nannies]


def attack(user: int, addresses: list[str], files: list[Path]) -> dict[str, list[bool]]:
    wanted = json.dumps({"addresses": addresses, "files": [str(path) for path in files]})
    done = subprocess.run(
        ["/usr/bin/python3", "-c", ATTACK, wanted],
        user=user, group=user, extra_groups=[], cwd="/", env={"PATH": "/usr/bin"},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    print(done.stderr, file=sys.stderr)
    return dict(json.loads(done.stdout))


def test_other_users_cannot_connect_to_a_slurm_cluster(sandbox: Any, other_user: int) -> None:
    # Open the folders above to all users; the cluster's own folder must keep them out.
    for folder in (sandbox.root, sandbox.temp, sandbox.work):
        folder.chmod(0o755)
    client = slurm_cluster_setup("8GBXS", n_workers=2, mem_per_worker="700MB", n_workers_startup=2)
    try:
        sandbox.shared.chmod(0o755)
        keys = list(sandbox.shared.rglob("keys.pem"))
        assert len(keys) == 1
        keys[0].parent.parent.chmod(0o755)
        addresses = addresses_of(client)
        assert len(addresses) == 5
        result = attack(other_user, addresses, keys)
        assert result == {"encrypted": [False] * 5, "plain": [False] * 5, "files": [False]}
        assert client.submit(pow, 2, 3).result() == 8
        server = client.cluster.scheduler.http_server
        assert server.address == "127.0.0.1"
    finally:
        cluster_cleanup(client)


def test_other_users_can_connect_without_encryption(sandbox: Any, other_user: int) -> None:
    """Jobs of plain dask-jobqueue are reachable, so it is encryption that keeps others out."""
    from dask_jobqueue import SLURMCluster

    cluster = SLURMCluster(
        queue="8GBXS", cores=1, processes=1, memory="700MiB", walltime="00:05:00",
        scheduler_options={"dashboard": False, "dashboard_address": ":0"},
    )  # fmt: skip
    with cluster, Client(cluster) as client:
        cluster.scale(1)
        client.wait_for_workers(1, timeout=60)
        addresses = addresses_of(client)
        assert len(addresses) == 3
        result = attack(other_user, addresses, [])
        assert result == {"encrypted": [False] * 3, "plain": [True] * 3, "files": []}
    sandbox.clear_after_others()


@pytest.mark.parametrize("tls", [True, False])
def test_other_users_and_local_workers(sandbox: Any, other_user: int, tls: bool) -> None:
    with dask.config.set({"acme.local.tls": tls}):
        client = acme_cluster.local_cluster_setup(2)
    try:
        socket = Path(client.cluster.scratch).parent / "fork"
        assert socket.exists()
        addresses = addresses_of(client)
        result = attack(other_user, addresses, [socket])
        assert result["files"] == [False]
        assert result["plain"] == [not tls] * 5
        assert result["encrypted"] == [False] * 5
        assert client.submit(os.getpid).result() > 0
    finally:
        cluster_cleanup(client)
