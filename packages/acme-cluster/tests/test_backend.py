"""The interface for packages that run calls on the workers keeps its names."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from acme_cluster import backend


def test_names_are_pinned() -> None:
    assert backend.__all__ == [
        "CLIENT_MODULES",
        "close_client",
        "examine",
        "find_client",
        "looks_like_slurm",
        "quick_imports",
        "remove_with",
        "shown",
        "slurm_answers",
        "start_client",
    ]
    assert dir(backend) == sorted(backend.__all__)
    for name in backend.__all__:
        assert getattr(backend, name) is not None


def test_client_modules_exist() -> None:
    for name in backend.CLIENT_MODULES:
        assert import_module(name).__name__ == name


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        backend.nothing  # noqa: B018


def test_import_loads_nothing_heavy() -> None:
    code = (
        "import sys, acme_cluster.backend; "
        "heavy = ('dask', 'distributed', 'bokeh', 'numpy', 'psutil'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
