"""The test cluster for the tests in this folder, and what they look at afterwards.

Without SLURM, or without the rights of root, the tests are skipped with the reason; where the
environment says `CI=true` that is a failure instead, so that it cannot go unnoticed.
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

# Test modules are imported without their folder being on the path.
sys.path.insert(0, str(Path(__file__).parent))

import lab


def pytest_configure() -> None:
    os.environ["DASK_ACME__DASHBOARD_PORT"] = "0"


@pytest.fixture(scope="session")
def slurm() -> Iterator[None]:
    """A running test cluster; one that ran before is left running."""
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
    """Wait for a condition; failing means that it never came, not that it came late."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.1)


@pytest.fixture
def until() -> Callable[..., None]:
    return wait_until


def used_by_others(name: str) -> bool:
    """Whether something in shared memory belongs to a process that lives, and is none of ours."""
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


class Place:
    """Where a test's clusters keep their things, and what is left of them."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="place"))
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
        """Start a program that heeds Ctrl-C and SIGHUP, whatever this process inherited."""
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
        """Return the jobs that were submitted from here, in a format of squeue's."""
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
        """What is still there: jobs, processes, keys and other files, also in shared memory."""
        # Folders may go while they are looked at, which os.walk takes as it is.
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
        """Remove what plain dask leaves behind, once its jobs have ended."""
        wait_until(lambda: not self.jobs() and not self.processes())
        for folder in (self.temp, self.work):
            shutil.rmtree(folder)
            folder.mkdir()


@pytest.fixture
def place(slurm: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    import dask

    place = Place()
    monkeypatch.setenv("TMPDIR", str(place.temp))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.chdir(place.work)
    with dask.config.set({"acme.shared-directory": str(place.shared)}):
        yield place
    monkeypatch.undo()
    tempfile.tempdir = None
    lab.run("scancel", *place.jobs("%i"), check=False)
    began = ended = time.monotonic()
    while not place.empty():
        if time.monotonic() < began + 60 and (place.jobs() or place.processes()):
            ended = time.monotonic()
        # Of files and folders there is nobody left who could remove them.
        assert time.monotonic() < ended + 10, f"left behind: {place.left()}"
        time.sleep(0.1)
    for folder in (place.temp, place.work):
        folder.rmdir()
    if place.shared.exists():
        place.shared.rmdir()
    place.root.rmdir()
