"""Checks of a folder for results."""

import os
from pathlib import Path
from types import SimpleNamespace

import h5py
import pytest

from acme_io.tools.folder_check import examine


def test_a_usable_folder(tmp_path: Path) -> None:
    findings = examine(tmp_path)
    assert [one.topic for one in findings] == ["versions", "results", "locking"]
    assert {one.level for one in findings} == {"ok"}
    assert f"h5py {h5py.__version__}" in findings[0].text
    assert os.listdir(tmp_path) == []


def test_a_missing_folder(tmp_path: Path) -> None:
    *_, found = examine(tmp_path / "gone")
    assert (found.level, found.topic) == ("problem", "results")
    assert "output_dir" in found.advice


def test_little_space_and_no_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = h5py.File

    def without_locks(path: Path, mode: str, locking: bool) -> h5py.File:
        if locking:
            raise OSError("Function not implemented")
        return opened(path, mode, locking=locking)

    monkeypatch.setattr(h5py, "File", without_locks)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=5e8))
    _, space, locks = examine(tmp_path)
    assert (space.level, "0.5 GB left" in space.text) == ("note", True)
    assert (locks.level, "HDF5_USE_FILE_LOCKING=FALSE" in locks.advice) == ("note", True)
