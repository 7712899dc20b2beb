"""Quick imports: what they change meanwhile, and that nothing of it stays."""

import gc
import importlib
import os
import subprocess
import sys
from contextlib import closing

import pytest
import yaml

import acme_cluster
from acme_cluster.internals.fast_imports import not_installed, quick_imports

VARIABLE = "OPENBLAS_THREAD_TIMEOUT"


@pytest.mark.parametrize("before", [None, "26"])
def test_everything_is_as_before_afterwards(monkeypatch, before):
    monkeypatch.delenv(VARIABLE, raising=False)
    if before is not None:
        monkeypatch.setenv(VARIABLE, before)
    monkeypatch.delitem(sys.modules, "numpy", raising=False)
    loader = yaml.SafeLoader
    seen = []

    def fail():
        with quick_imports():
            seen.append((os.environ[VARIABLE], gc.isenabled()))
            raise ImportError

    with pytest.raises(ImportError):
        fail()
    assert seen == [(before or seen[0][0], False)]
    assert (os.environ.get(VARIABLE), gc.isenabled(), yaml.SafeLoader) == (before, True, loader)


def test_nothing_is_set_for_an_openblas_that_is_loaded(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    importlib.import_module("numpy")
    with quick_imports():
        assert VARIABLE not in os.environ


def test_numpy_still_has_all_its_threads():
    script = """
from acme_cluster.internals.fast_imports import quick_imports
with quick_imports():
    import numpy
import os
print(len(os.listdir("/proc/self/task")))
"""
    plain = script.replace("quick_imports()", "contextlib.nullcontext()")
    environ = {name: value for name, value in os.environ.items() if "THREAD" not in name}
    seen = {
        subprocess.run(
            [sys.executable, "-c", "import contextlib\n" + text],
            env=environ,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for text in (script, plain)
    }
    assert len(seen) == 1


def test_what_is_not_installed_for_a_while_can_be_imported_afterwards(monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with not_installed("colorsys"), pytest.raises(ImportError):
        importlib.import_module("colorsys")
    assert importlib.import_module("colorsys").__name__ == "colorsys"
    with not_installed("colorsys"):
        importlib.import_module("colorsys")


def test_workers_can_use_what_was_not_imported_for_them():
    def render():
        import dask.array as da
        import jinja2

        return jinja2.Template("{{ x }}").render(x=da.ones(3).sum().compute(scheduler="sync"))

    with closing(acme_cluster.local_cluster_setup(1)) as client:
        text = client.submit(render).result()
        acme_cluster.cluster_cleanup(client)
    assert text == "3.0"


def is_old(thing):
    return any(other is thing for other in gc.get_objects(generation=2))


def test_objects_are_made_old_only_after_imports(monkeypatch):
    """Otherwise garbage that is made old at every use would never be collected."""
    gc.collect()
    young = [[]]
    with quick_imports():
        pass
    assert not is_old(young)
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with quick_imports():
        importlib.import_module("colorsys")
    assert is_old(young)
