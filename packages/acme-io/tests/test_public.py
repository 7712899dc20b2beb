import importlib
import subprocess
import sys

import pytest

import acme_io


def test_public_names() -> None:
    assert sorted(acme_io.__all__) == [
        "AcmeIOError",
        "Call",
        "Grid",
        "Results",
        "Slots",
        "StorageOptions",
        "__version__",
        "open_results",
        "write_report",
    ]
    for name in acme_io.__all__:
        assert getattr(acme_io, name) is not None


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        acme_io.nothing  # noqa: B018


def test_import_loads_no_heavy_library() -> None:
    code = (
        "import sys, acme_io; "
        "print([m for m in ('h5py', 'numpy', 'dask', 'distributed', 'bokeh') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_writing_side_loads_h5py_only_when_it_writes() -> None:
    code = "import sys, acme_io.runs.store, acme_io.storage.sink; print('h5py' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_every_error_is_also_a_builtin_error() -> None:
    errors = importlib.import_module("acme_io.errors")
    for name in errors.__all__:
        error = getattr(errors, name)
        bases = [base for base in error.__mro__[1:] if base.__module__ == "builtins"]
        assert bases, name
        assert name == "AcmeIOError" or bases[0] is not Exception, name
