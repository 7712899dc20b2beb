"""What the tests of all packages together share: folders of their own, and a look at processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psutil
import pytest

# Several tests run at the same time: each cluster takes whatever port is free. dask reads this when
# it is imported, here and in the processes that tests start.
os.environ["DASK_ACME__DASHBOARD_PORT"] = "0"

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def no_batch_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of the SLURM tests, a batch system that this machine happens to have is not found."""
    if "slurm" not in request.path.relative_to(ROOT).parts:
        monkeypatch.setenv("PATH", str(Path(sys.executable).parent))


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the current directory of the test."""
    folder = tmp_path / "workdir"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def no_client() -> Iterator[None]:
    """No dask client before the test, and none left after it."""
    from acme import cluster_cleanup

    cluster_cleanup()
    yield
    cluster_cleanup()


@pytest.fixture(scope="module")
def client() -> Iterator[object]:
    """Two local workers that the tests of one module share."""
    from acme import cluster_cleanup, local_cluster_setup

    cluster_cleanup()
    client = local_cluster_setup(n_workers=2, interactive=False)
    yield client
    cluster_cleanup(client)


def listing(folder: Path) -> dict[str, tuple[bytes | None, int]]:
    """Everything below `folder`: its content (None for a folder) and its mode."""
    return {
        str(path.relative_to(folder)): (
            path.read_bytes() if path.is_file() else None,
            path.stat().st_mode,
        )
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def untouched(workdir: Path, no_client: None) -> Callable[[], AbstractContextManager[None]]:
    """A block that may neither start a process nor leave anything in the current directory."""

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
    """Run this Python in a process of its own, in the test's folder; its end is waited for."""

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
