"""The test cluster for the tests in this folder, and checks that tests leave nothing behind.

Without SLURM or root, the tests are skipped with the reason. With `CI=true` in the environment they
fail instead, so that a missing cluster is noticed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# With `--import-mode=importlib`, pytest does not add the folder of test modules to the path.
sys.path.insert(0, str(Path(__file__).parent))

import lab


def pytest_configure() -> None:
    os.environ["DASK_ACME__DASHBOARD_PORT"] = "0"


@pytest.fixture(scope="session")
def slurm() -> Iterator[None]:
    """Start the test cluster; leave it running if it was running before."""
    lacking = lab.missing()
    if lacking:
        reason = f"the SLURM test cluster needs: {', '.join(lacking)}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    was_up = lab.is_up()
    lab.start()
    yield
    if not was_up:
        lab.stop()


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait for a condition, generously: a slow machine must not fail a test."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.1)


@pytest.fixture
def until() -> Callable[..., None]:
    return wait_until


def used_by_others(name: str) -> bool:
    """Return whether an entry in /dev/shm is in use by another running process."""
    try:
        with (Path("/dev/shm") / name / "in-use").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return not (Path("/dev/shm") / name).exists()
    return False


def _default_signals() -> None:
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class Sandbox:
    """Folders for the clusters of a test, and checks for what they leave behind."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="sandbox"))
        self.shared = self.root / "shared"
        self.temp = self.root / "temp"
        self.work = self.root / "work"
        self._shared_memory = set(os.listdir("/dev/shm"))
        self.temp.mkdir()
        self.work.mkdir()
        self.env = {
            **lab._environment(),
            "DASK_ACME__SHARED_DIRECTORY": str(self.shared),
            "TMPDIR": str(self.temp),
            "PYTHONWARNINGS": "error",
        }

    def start(self, code: str, *arguments: str, **keywords: Any) -> subprocess.Popen[str]:
        """Start a program with default handling of Ctrl-C and SIGHUP."""
        return subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            cwd=self.work,
            env=self.env,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=_default_signals,
            **keywords,
        )

    def run(self, code: str, *arguments: str) -> tuple[str, str]:
        process = self.start(code, *arguments)
        out, err = process.communicate(timeout=180)
        assert process.returncode == 0, err
        return out, err

    def jobs(self, what: str = "%i %T") -> list[str]:
        """Return the jobs submitted from this sandbox, in squeue's format `what`."""
        lines = lab.run("squeue", "-h", "-o", f"%Z|{what}", check=False).splitlines()
        rows = [line.split("|", 1) for line in lines if line.startswith(str(self.root))]
        return [row[1].strip() for row in rows]

    def processes(self) -> list[str]:
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                environ = (entry / "environ").read_bytes()
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
            except OSError:
                continue
            if str(self.root).encode() in environ and int(entry.name) != os.getpid():
                found.append(f"{entry.name} {command.decode(errors='replace')}")
        return found

    def left(self) -> dict[str, list[str]]:
        """Return remaining jobs, processes and files, including shared memory."""
        # os.walk ignores folders that disappear meanwhile.
        files = [
            os.path.join(where, name)
            for folder in (self.shared, self.temp, self.work)
            for where, folders, names in os.walk(folder)
            for name in (*folders, *names)
        ]
        return {
            "jobs": self.jobs(),
            "processes": self.processes(),
            "files": [os.path.relpath(path, self.root) for path in files],
            "shared memory": [n for n in self._new_in_shared_memory() if not used_by_others(n)],
        }

    def _new_in_shared_memory(self) -> set[str]:
        return set(os.listdir("/dev/shm")) - self._shared_memory

    def empty(self) -> bool:
        return not any(self.left().values())

    def clear_after_others(self) -> None:
        """Remove files that plain dask leaves behind, once its jobs have ended."""
        wait_until(lambda: not self.jobs() and not self.processes())
        for folder in (self.temp, self.work):
            shutil.rmtree(folder)
            folder.mkdir()


@pytest.fixture
def sandbox(slurm: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    import dask

    sandbox = Sandbox()
    monkeypatch.setenv("TMPDIR", str(sandbox.temp))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.chdir(sandbox.work)
    with dask.config.set({"acme.shared-directory": str(sandbox.shared)}):
        yield sandbox
    monkeypatch.undo()
    tempfile.tempdir = None
    lab.run("scancel", *sandbox.jobs("%i"), check=False)
    began = ended = time.monotonic()
    while not sandbox.empty():
        if time.monotonic() < began + 60 and (sandbox.jobs() or sandbox.processes()):
            ended = time.monotonic()
        # Jobs and processes get 60 s to end. Nothing removes files after that, so 10 s suffice.
        assert time.monotonic() < ended + 10, f"left behind: {sandbox.left()}"
        time.sleep(0.1)
    for folder in (sandbox.temp, sandbox.work):
        folder.rmdir()
    if sandbox.shared.exists():
        sandbox.shared.rmdir()
    sandbox.root.rmdir()
