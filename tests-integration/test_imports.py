"""Importing the packages loads no heavy dependency and configures nothing."""

from __future__ import annotations

import pytest

HEAVY = ("bokeh", "dask", "distributed", "h5py", "tornado")


@pytest.mark.parametrize("package", ["acme", "acme_core", "acme_cluster", "acme_io"])
def test_import_loads_nothing_heavy(run_python, package):
    code = f"import {package}, sys; print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    assert run_python("-c", code).stdout.strip() == "[]"


@pytest.mark.parametrize("package", ["acme", "acme_core", "acme_cluster", "acme_io"])
def test_import_configures_nothing(run_python, package):
    code = f"""
import logging, signal, sys, threading, warnings
before = (
    sys.excepthook, list(logging.root.handlers), logging.root.level, list(warnings.filters),
    signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), threading.active_count(),
)
import {package}
after = (
    sys.excepthook, list(logging.root.handlers), logging.root.level, list(warnings.filters),
    signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), threading.active_count(),
)
print(before == after)
"""
    assert run_python("-c", code).stdout.strip() == "True"


def test_reading_a_pickled_run_needs_no_dask(run_python, workdir):
    from acme import ParallelMap

    with ParallelMap(dict, [[("a", 1)]], write_pickle=True, output_dir=workdir / "out") as pmap:
        pmap.compute(debug=True)
    code = """
import acme, sys
print(acme.open_results("out", allow_pickle=True)[0].values, "dask" in sys.modules)
"""
    assert run_python("-c", code).stdout.strip() == "{'a': 1} False"


def test_checks_import_nothing_heavy(run_python, workdir):
    """Otherwise client and workers could not import heavy packages at the same time."""
    (workdir / "out").mkdir()
    (workdir / "out" / "f.h5").touch()
    code = """
import sys
from acme import ParallelMap, each, shared

def f(x, y, z=3):
    return x + y + z

ParallelMap(f, each([3, 4]), shared([5]))
checked = ParallelMap(f, [1, 2], 3, output_dir="out")
try:
    checked.compute()
except OSError as error:
    print("resume=True" in str(error))
try:
    ParallelMap(lambda x: sys.stdout, [1, 2], write_worker_results=False, n_inputs=3)
except ValueError as error:
    print("required length of 3" in str(error))
lock = __import__("threading").Lock()
try:
    ParallelMap(lambda x: lock, [1, 2]).compute()
except Exception as error:
    print(type(error).__name__)
print(sorted({"numpy", "h5py", "dask", "distributed", "tornado"} & set(sys.modules)))
"""
    assert run_python("-c", code).stdout.split() == ["True", "True", "UnpicklableError", "[]"]
