"""The public names of acme, their packages, and the cost of its import."""

import importlib
import re
import subprocess
import sys
from importlib import metadata

import pytest

import acme

HOME = {
    "ComputeError": "acme_core",
    "ParallelMap": "acme_core",
    "cluster_cleanup": "acme_cluster",
    "cross": "acme_core",
    "each": "acme_core",
    "esi_cluster_setup": "acme_cluster",
    "local_cluster_setup": "acme_cluster",
    "open_results": "acme_io",
    "shared": "acme_core",
    "slurm_cluster_setup": "acme_cluster",
}
HEAVY = ("bokeh", "dask", "dask_jobqueue", "distributed", "h5py", "numpy", "tornado")


def test_public_names():
    assert sorted(acme.__all__) == sorted([*HOME, "__version__"])


@pytest.mark.parametrize("name", sorted(HOME))
def test_name_is_an_object_of_its_package(name):
    assert getattr(acme, name) is getattr(importlib.import_module(HOME[name]), name)


def test_star_import_gives_the_public_names():
    namespace: dict[str, object] = {}
    exec("from acme import *", namespace)
    assert set(namespace) >= set(HOME)


def test_dir_lists_names_before_they_are_loaded():
    code = "import acme; print(*[name for name in dir(acme) if name in acme.__all__])"
    assert set(run(code).split()) == set(acme.__all__)


def test_unknown_name_is_an_attribute_error_that_names_it():
    with pytest.raises(AttributeError, match="module 'acme' has no attribute 'ParalellMap'"):
        _ = acme.ParalellMap  # type: ignore[attr-defined]


def test_import_loads_no_heavy_package():
    code = f"import acme, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert run(code) == "[]"


def test_version_is_that_of_the_distribution():
    assert acme.__version__ == metadata.version("acme")


def test_depends_on_the_three_packages_and_on_nothing_called_acme():
    names = {re.match(r"[\w-]+", requirement)[0] for requirement in metadata.requires("acme") or []}
    assert names == {"acme-core", "acme-cluster", "acme-io"}


def run(code: str) -> str:
    """Return the output of `code` in a new interpreter."""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.strip()
