"""User scripts without a `__main__` guard, started in every way that Python offers."""

from __future__ import annotations

from pathlib import Path

import pytest

SCRIPT = """\
from acme import ParallelMap

print("the script runs")

def f(x, y, z=3):
    return (x + y) * z

with ParallelMap(f, [2, 4, 6, 8], 4) as pmap:
    results = pmap.compute()

import h5py
with h5py.File(pmap.results_container, "r") as h5f:
    print(*[h5f[f"comp_{call}"]["result_0"][()] for call in range(4)])
"""
PRINTED = "the script runs\n[18] [24] [30] [36]\n"


@pytest.mark.parametrize(
    ("arguments", "stdin"),
    [(["script.py"], ""), (["-m", "script"], ""), (["-c", SCRIPT], ""), (["-"], SCRIPT)],
    ids=["file", "module", "command", "standard input"],
)
def test_script_without_guard_runs_once(run_python, workdir, arguments, stdin):
    (workdir / "script.py").write_text(SCRIPT)
    done = run_python(*arguments, stdin=stdin)
    assert done.stdout == PRINTED
    assert "Traceback" not in done.stderr


def test_script_in_a_package(run_python, workdir):
    (workdir / "lab").mkdir()
    (workdir / "lab" / "__init__.py").write_text("")
    (workdir / "lab" / "tools.py").write_text("def double(x):\n    return 2 * x\n")
    (workdir / "lab" / "main.py").write_text(
        "from acme import ParallelMap\n"
        "from .tools import double\n"
        "def g(x):\n    return double(x) + 1\n"
        "with ParallelMap(g, [1, 2], write_worker_results=False) as pmap:\n"
        "    print(pmap.compute())\n"
    )
    assert run_python("-m", "lab.main").stdout == "[3, 5]\n"


def test_restarted_worker_does_not_run_the_script(run_python, workdir):
    (workdir / "script.py").write_text(
        "import os\n"
        "from pathlib import Path\n"
        "from acme import ParallelMap\n"
        "print('the script runs')\n"
        "def die_once(x):\n"
        "    marker = Path(f'died_{x}')\n"
        "    if x == 1 and not marker.exists():\n"
        "        marker.touch()\n"
        "        os._exit(1)\n"
        "    return x\n"
        "with ParallelMap(die_once, range(6), n_workers=1, write_worker_results=False) as pmap:\n"
        "    print(pmap.compute())\n"
    )
    assert run_python("script.py").stdout == "the script runs\n[0, 1, 2, 3, 4, 5]\n"


def test_functions_are_pickled_by_value_with_their_globals(run_python, workdir):
    (workdir / "script.py").write_text(
        "from functools import partial\n"
        "from acme import ParallelMap\n"
        "offset = 10\n"
        "class Scale:\n"
        "    def __init__(self, factor):\n"
        "        self.factor = factor\n"
        "    def __call__(self, x):\n"
        "        return x * self.factor + offset\n"
        "    def method(self, x):\n"
        "        return self(x)\n"
        "def add(x, y):\n"
        "    return x + y + offset\n"
        "for function in (lambda x: x + offset, partial(add, y=1), Scale(2), Scale(3).method):\n"
        "    with ParallelMap(function, [1, 2], write_worker_results=False,\n"
        "                     stop_client=False) as pmap:\n"
        "        print(pmap.compute())\n"
    )
    assert run_python("script.py").stdout == "[11, 12]\n[12, 13]\n[12, 14]\n[13, 16]\n"


def test_script_that_ends_with_an_error_leaves_no_process(run_python, workdir):
    import psutil

    (workdir / "script.py").write_text(
        "import psutil\n"
        "from acme import ParallelMap, local_cluster_setup\n"
        "client = local_cluster_setup(n_workers=2)\n"
        "print(*[child.pid for child in psutil.Process().children(recursive=True)])\n"
        "raise SystemExit(3)\n"
    )
    done = run_python("script.py", check=False)
    assert done.returncode == 3
    started = [int(pid) for pid in done.stdout.split()]
    assert started
    _, alive = psutil.wait_procs(
        [psutil.Process(pid) for pid in started if psutil.pid_exists(pid)], timeout=30
    )
    assert not alive


def test_helper_beside_the_script_is_found_from_another_folder(run_python, workdir, tmp_path):
    code = tmp_path / "code"
    code.mkdir()
    (code / "beside.py").write_text("def triple(x):\n    return 3 * x\n")
    (code / "script.py").write_text(
        "import beside\n"
        "from acme import ParallelMap\n"
        "with ParallelMap(beside.triple, [1, 2], write_worker_results=False) as pmap:\n"
        "    print(pmap.compute())\n"
    )
    assert run_python(str(code / "script.py")).stdout == "[3, 6]\n"
    assert [path.name for path in Path(workdir).iterdir()] == []


def test_a_script_may_end_without_closing_its_own_client(run_python, workdir):
    (workdir / "script.py").write_text(
        "from distributed import Client, LocalCluster\n"
        "from acme import ParallelMap\n"
        "def f(x):\n"
        "    return x\n"
        "if __name__ == '__main__':\n"
        "    cluster = LocalCluster(\n"
        "        n_workers=2, threads_per_worker=1, dashboard_address='127.0.0.1:0')\n"
        "    client = Client(cluster)\n"
        "    pmap = ParallelMap(f, range(100), write_worker_results=False, verbose=False)\n"
        "    print(len(pmap.compute()))\n"
    )
    # Callbacks of dask's futures came too late in two of three runs.
    for _ in range(4):
        done = run_python("script.py")
        assert done.stdout == "100\n"
        assert "Traceback" not in done.stderr
