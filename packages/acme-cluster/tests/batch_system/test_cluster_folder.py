from __future__ import annotations

import contextlib
import json
import os
import stat
import threading
import time
from pathlib import Path

import pytest

from acme_cluster.batch_system.cluster_folder import ClusterFolder, remove_abandoned, remove_tree
from acme_cluster.keys import make_keys


def test_keys_are_private_and_can_be_read_back(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        folder = ClusterFolder.create(tmp_path / "base", keys := make_keys())
    finally:
        os.umask(before)
    assert folder.keys() == keys
    assert stat.S_IMODE((folder.path / "keys.pem").stat().st_mode) == 0o600
    for path in (folder.path, folder.path.parent, folder.path / "workers"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert not folder.abandoned()
    remove_abandoned(tmp_path / "base")
    assert folder.path.exists()
    folder.remove()
    folder.remove()
    assert not (tmp_path / "base").exists()


def abandon(folder: ClusterFolder, *, host: str | None = None, age: float = 0) -> None:
    file = folder.path / "owner.json"
    owner = json.loads(file.read_text())
    owner |= {"started": 1.0} if host is None else {"host": host}
    file.write_text(json.dumps(owner))
    past = time.time() - age
    os.utime(folder.path / "alive", (past, past))


def test_the_last_job_removes_the_folder_of_a_killed_client(tmp_path: Path) -> None:
    folder = ClusterFolder.create(tmp_path / "base", make_keys())
    one, two = folder.enter("1"), folder.enter("2")
    folder.leave(one, last_removes=True)
    assert folder.path.exists()
    folder.leave(two, last_removes=True)
    assert not folder.path.exists()


@pytest.mark.parametrize(
    ("host", "age", "jobs", "removed"),
    [
        (None, 0, 0, True),
        (None, 0, 1, False),
        (None, 9999, 1, True),
        ("elsewhere", 5, 0, False),
        ("elsewhere", 9999, 0, True),
    ],
)
def test_the_next_start_removes_it_unless_jobs_use_it(
    tmp_path: Path, host: str | None, age: float, jobs: int, removed: bool
) -> None:
    folder = ClusterFolder.create(tmp_path, make_keys())
    for job in range(jobs):
        folder.enter(str(job))
    abandon(folder, host=host, age=age)
    remove_abandoned(tmp_path)
    assert folder.path.exists() is not removed


def test_logs_can_outlive_the_folder(tmp_path: Path) -> None:
    folder = ClusterFolder.create(tmp_path / "base", make_keys())
    logs = folder.path / "logs"
    logs.mkdir()
    (logs / "a.out").write_text("why")
    folder.keep(logs)
    folder.remove()
    assert [path.read_text() for path in (tmp_path / "base" / "logs").rglob("*.out")] == ["why"]


def test_a_folder_is_removed_while_a_process_still_writes_to_it(tmp_path: Path) -> None:
    folder = tmp_path / "busy"
    folder.mkdir()
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set() and number < 2000:
            number += 1
            with contextlib.suppress(OSError):
                (folder / "deep").mkdir(exist_ok=True)
                (folder / "deep" / str(number)).touch()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        remove_tree(folder)
    finally:
        stop.set()
        writer.join()
    assert not folder.exists()
