"""Fixtures that several test modules share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dask
import pytest
from hypothesis import settings

import acme_cluster

# A slow example on a busy machine is no failure.
settings.register_profile("any-speed", deadline=None)
settings.load_profile("any-speed")


@pytest.fixture(autouse=True)
def no_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide SLURM, so that tests of local workers pass on a login node as well."""
    monkeypatch.setattr("acme_cluster.slurm.query.available", lambda: False)


@pytest.fixture(autouse=True)
def any_port() -> Iterator[None]:
    with dask.config.set({"acme.dashboard-port": 0}):
        yield


@pytest.fixture
def client() -> Iterator[object]:
    client = acme_cluster.local_cluster_setup(n_workers=2)
    yield client
    acme_cluster.cluster_cleanup(client)


def wait_until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait for a condition. The limit is generous: a slow machine must not fail a test."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.01)


@pytest.fixture
def until() -> Callable[..., None]:
    return wait_until


def _heed_signals() -> None:
    """Restore default handling: a shell's `&`, and nohup, start programs with signals ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


class Script:
    """Runs a program in its own folder, with its own temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Unix sockets need short paths; that of pytest's folders is long.
        self.temp = Path(tempfile.mkdtemp(prefix="t"))
        self.env = {
            **os.environ,
            "TMPDIR": str(self.temp),
            "DASK_ACME__DASHBOARD_PORT": "0",
            "PYTHONWARNINGS": "error",
        }

    def write(self, text: str, name: str = "script.py") -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def start(self, *arguments: str, **keywords: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=_heed_signals,
            **keywords,  # type: ignore[call-overload]
        )

    def run(self, *arguments: str, stdin: str = "") -> tuple[str, str]:
        process = self.start(*arguments, stdin=subprocess.PIPE)
        out, err = process.communicate(stdin, timeout=120)
        assert process.returncode == 0, err
        return out, err

    def leftovers(self) -> list[str]:
        return sorted(entry.name for entry in self.temp.iterdir())


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Script]:
    script = Script(tmp_path)
    yield script
    wait_until(lambda: not script.leftovers())
    script.temp.rmdir()
