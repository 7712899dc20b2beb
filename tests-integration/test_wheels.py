"""The wheels, installed in empty virtual environments outside the checkout."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = """\
from acme import ParallelMap

def f(x, y, z=3):
    return (x + y) * z

with ParallelMap(f, [2, 4, 6, 8], 4) as pmap:
    results = pmap.compute()

import h5py
with h5py.File(pmap.results_container, "r") as h5f:
    print(*[h5f[f"comp_{call}"]["result_0"][()] for call in range(4)])
"""


def run(*command: str | Path, cwd: Path) -> str:
    """Return the output of a command; fail with all of its output."""
    # hatch passes its active environment on in HATCH_ENV variables; the copy is another project.
    env = {name: value for name, value in os.environ.items() if not name.startswith("HATCH_ENV")}
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env, timeout=600)
    if done.returncode:
        pytest.fail(f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Build all wheels from a copy of the packages, which leaves the checkout unchanged."""
    copy = tmp_path_factory.mktemp("copy")
    for name in ("hatch.toml", "pyproject.toml"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(
        ROOT / "packages", copy / "packages", ignore=shutil.ignore_patterns("__pycache__", ".*")
    )
    run(sys.executable, "-m", "hatch", "build", "--all", "--target", "wheel", cwd=copy)
    return sorted((copy / "dist").glob("*.whl"))


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """Create an empty virtual environment; return its interpreter."""
    run(sys.executable, "-m", "venv", tmp_path / "env", cwd=tmp_path)
    return tmp_path / "env" / "bin" / "python"


def test_four_wheels_with_types_and_license(wheels):
    names = [wheel.name.split("-")[0] for wheel in wheels]
    assert names == ["acme", "acme_cluster", "acme_core", "acme_io"]
    for wheel, name in zip(wheels, names, strict=True):
        files = run(sys.executable, "-m", "zipfile", "-l", wheel, cwd=ROOT)
        assert f"{name}/py.typed" in files
        assert "licenses/LICENSE" in files


def test_first_example_of_the_user_guide(wheels, environment, tmp_path):
    run(environment, "-m", "pip", "install", "--quiet", *wheels, cwd=tmp_path)
    (tmp_path / "script.py").write_text(EXAMPLE)

    assert run(environment, "script.py", cwd=tmp_path) == "[18] [24] [30] [36]\n"

    installed = run(
        environment, "-c",
        "import acme, acme_core, acme_cluster, acme_io, json;"
        "print(json.dumps([m.__file__ for m in (acme, acme_core, acme_cluster, acme_io)]))",
        cwd=tmp_path,
    )  # fmt: skip
    for path in json.loads(installed):
        assert Path(path).is_relative_to(tmp_path / "env")
    assert run(environment, "-m", "pip", "check", cwd=tmp_path).startswith("No broken")


def test_oldest_supported_dask(wheels, environment, tmp_path):
    text = (ROOT / "packages/acme-cluster/pyproject.toml").read_text()
    oldest = re.search(r'"distributed>=([0-9.]+)"', text)
    assert oldest
    wanted = f"distributed=={oldest[1]}.*"
    run(environment, "-m", "pip", "install", "--quiet", *wheels, wanted, cwd=tmp_path)
    (tmp_path / "script.py").write_text(EXAMPLE)

    assert run(environment, "script.py", cwd=tmp_path) == "[18] [24] [30] [36]\n"


def test_acme_io_alone_reads_results(wheels, environment, tmp_path):
    from acme import ParallelMap

    with ParallelMap(pow, [2, 3], 2, output_dir=tmp_path / "results") as pmap:
        pmap.compute(debug=True)
    (wheel,) = [wheel for wheel in wheels if wheel.name.startswith("acme_io-")]
    run(environment, "-m", "pip", "install", "--quiet", wheel, cwd=tmp_path)

    code = "import acme_io; print([call.values for call in acme_io.open_results('results')])"
    assert run(environment, "-c", code, cwd=tmp_path) == "[4, 9]\n"

    installed = json.loads(run(environment, "-m", "pip", "list", "--format", "json", cwd=tmp_path))
    names = {entry["name"].lower() for entry in installed} - {"pip", "setuptools"}
    assert names == {"acme-io", "h5py", "numpy"}


def test_acme_cluster_alone_with_plain_dask(wheels, environment, tmp_path):
    (wheel,) = [wheel for wheel in wheels if wheel.name.startswith("acme_cluster-")]
    run(environment, "-m", "pip", "install", "--quiet", wheel, cwd=tmp_path)

    printed = run(environment, ROOT / "examples/cluster/run.py", cwd=tmp_path)
    assert printed == "pi is about 3.142\n"

    missing = "acme", "acme_core", "acme_io", "h5py"
    code = f"import importlib.util as u; print([u.find_spec(name) for name in {missing}])"
    assert run(environment, "-c", code, cwd=tmp_path) == "[None, None, None, None]\n"
