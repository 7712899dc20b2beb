"""Fixtures for the tests of all packages together."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psutil
import pytest
from hypothesis import settings

# A slow example on a busy machine is no failure.
settings.register_profile("any-speed", deadline=None)
settings.load_profile("any-speed")

# Tests run in parallel, so every dashboard takes any free port. dask reads this variable on import,
# here and in processes started by tests.
os.environ["DASK_ACME__DASHBOARD_PORT"] = "0"

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def no_batch_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide any batch system on this machine from all tests but those on SLURM."""
    if "slurm" not in request.path.relative_to(ROOT).parts:
        monkeypatch.setenv("PATH", str(Path(sys.executable).parent))


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Provide an empty folder as the current directory."""
    folder = tmp_path / "workdir"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def no_client() -> Iterator[None]:
    """Ensure that no dask client exists before and after the test."""
    from acme import cluster_cleanup

    cluster_cleanup()
    yield
    cluster_cleanup()


@pytest.fixture(scope="module")
def client() -> Iterator[object]:
    """Provide two local workers, shared by the tests of a module."""
    from acme import cluster_cleanup, local_cluster_setup

    cluster_cleanup()
    client = local_cluster_setup(n_workers=2, interactive=False)
    yield client
    cluster_cleanup(client)


def listing(folder: Path) -> dict[str, tuple[bytes | None, int]]:
    """Return content (`None` for a folder) and mode of everything below `folder`."""
    return {
        str(path.relative_to(folder)): (
            path.read_bytes() if path.is_file() else None,
            path.stat().st_mode,
        )
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def untouched(workdir: Path, no_client: None) -> Callable[[], AbstractContextManager[None]]:
    """Return a context manager that fails if a process starts or the folder changes."""

    @contextmanager
    def block() -> Iterator[None]:
        processes = {child.pid for child in psutil.Process().children(recursive=True)}
        files = listing(workdir)
        yield
        assert {child.pid for child in psutil.Process().children(recursive=True)} == processes
        assert listing(workdir) == files

    return block


@pytest.fixture
def run_python(workdir: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs Python in a new process in the test's folder and waits."""

    def run(
        *arguments: str, stdin: str = "", check: bool = True, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            cwd=workdir,
            timeout=timeout,
        )
        if check and done.returncode:
            pytest.fail(f"{arguments} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    return run
