"""The interface for programs that store results with acme-io is stable."""

import subprocess
import sys
from importlib import import_module

import pytest

from acme_io import backend


def test_names_are_pinned() -> None:
    assert backend.__all__ == [
        "DONE",
        "FAILED",
        "MISSING",
        "PICKLED",
        "WORKER_MODULES",
        "BatchReceipt",
        "CallReport",
        "CallTable",
        "FailedCallError",
        "Failure",
        "Finished",
        "Grid",
        "RunInfo",
        "RunStore",
        "Sink",
        "check_output_dir",
        "clean_name",
        "describe",
        "examine",
        "finished_calls",
        "main",
    ]
    assert dir(backend) == sorted(backend.__all__)
    for name in backend.__all__:
        assert getattr(backend, name) is not None


def test_status_codes_are_those_in_files() -> None:
    codes = (backend.MISSING, backend.DONE, backend.FAILED, backend.PICKLED)
    assert codes == (0, 1, 2, 3)


def test_worker_modules_exist() -> None:
    for name in backend.WORKER_MODULES:
        assert import_module(name).__name__ == name


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        backend.nothing  # noqa: B018


def test_import_loads_no_heavy_library() -> None:
    code = (
        "import sys; from acme_io.backend import RunInfo, RunStore, Sink, describe; "
        "print('h5py' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
