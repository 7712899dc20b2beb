"""Quick imports: what they change meanwhile, and that nothing of it stays."""

import gc
import os
import subprocess
import sys

import pytest
import yaml

from acme_cluster.importing import quick_imports

VARIABLE = "OPENBLAS_THREAD_TIMEOUT"


@pytest.mark.parametrize("before", [None, "26"])
def test_everything_is_as_before_afterwards(monkeypatch, before):
    monkeypatch.delenv(VARIABLE, raising=False)
    if before is not None:
        monkeypatch.setenv(VARIABLE, before)
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


def test_numpy_still_has_all_its_threads():
    script = """
from acme_cluster.importing import quick_imports
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
