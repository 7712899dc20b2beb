"""Which GPUs there are and who gets which: no GPU, driver or CUDA is needed."""

from __future__ import annotations

import glob
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme_cluster import devices
from acme_cluster.devices import (
    devices_here,
    devices_of_job,
    parse_listing,
    parse_visible,
    shares,
)

NUMBERS = st.lists(st.integers(0, 99).map(str), unique=True)
UUIDS = st.uuids().map(str)
NAMES = st.lists(
    UUIDS.map("GPU-{}".format)
    | UUIDS.map("MIG-{}".format)
    | st.builds("MIG-GPU-{}/{}/0".format, UUIDS, st.integers(0, 14)),
    unique=True,
)


@given(names=NUMBERS | NAMES, per_worker=st.integers(1, 9))
def test_no_device_is_in_two_shares(names: list[str], per_worker: int) -> None:
    parts = [share.split(",") for share in shares(names, per_worker)]
    assert all(len(part) == per_worker for part in parts)
    assert len(parts) == len(names) // per_worker
    assert [name for part in parts for name in part] == names[: len(parts) * per_worker]


@given(NUMBERS | NAMES)
def test_a_share_is_read_as_it_was_written(names: list[str]) -> None:
    assert parse_visible(",".join(names)) == tuple(names)
    assert parse_visible(" , ".join([*names, *names])) == tuple(names)


@given(st.text())
def test_any_text_is_a_list_of_different_devices(text: str) -> None:
    found = parse_visible(text)
    assert len(set(found)) == len(found)
    assert parse_visible(",".join(found)) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ()),
        ("-1", ()),
        ("NoDevFiles", ()),
        ("0,2,-1,1", ("0", "2")),
        ("1,01,1", ("1",)),
        ("0,GPU-a", ("0",)),
        ("GPU-a,0", ("GPU-a",)),
        ("GPU-a,MIG-b", ("GPU-a", "MIG-b")),
    ],
)
def test_lists_end_where_they_end_for_cuda(text: str, found: tuple[str, ...]) -> None:
    assert parse_visible(text) == found


PLAIN = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5c89852c-d268-c3f3-1b07-005d5ae1dc3f)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-d5da93aa-0001-4eb5-8eb5-2d3b9c5d2f2b)
"""
DIVIDED = """\
GPU 0: A100-SXM4-40GB (UUID: GPU-5d5ba0d6)
  MIG 3g.20gb Device 0: (UUID: MIG-GPU-5d5ba0d6/1/0)
  MIG 1g.5gb      Device  1: (UUID: MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f)
GPU 1: A100-SXM4-40GB (UUID: GPU-bbbbbbbb)
"""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (PLAIN, ("0", "1")),
        (
            DIVIDED,
            ("MIG-GPU-5d5ba0d6/1/0", "MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f", "GPU-bbbbbbbb"),
        ),
        ("No devices found.\n", ()),
        ("", ()),
    ],
)
def test_gpus_and_their_parts_are_listed_by_nvidia_smi(text: str, found: tuple[str, ...]) -> None:
    assert parse_listing(text) == found


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the place of a command that the test may write; no other is on the path."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "nvidia-smi"


def test_an_inherited_list_counts_before_all_else(nvidia_smi: Path) -> None:
    nvidia_smi.write_text("#!/bin/sh\nexit 1\n")
    found = devices_here({"CUDA_VISIBLE_DEVICES": "MIG-a,MIG-b"})
    assert found.names == ("MIG-a", "MIG-b")
    assert "CUDA_VISIBLE_DEVICES='MIG-a,MIG-b'" in found.source
    assert devices_here({"CUDA_VISIBLE_DEVICES": ""}).names == ()


def test_nvidia_smi_is_asked_next(nvidia_smi: Path) -> None:
    nvidia_smi.write_text(f"#!/bin/sh\n[ $1 = -L ] && echo '{PLAIN}'\n")
    nvidia_smi.chmod(0o755)
    assert devices_here({}).names == ("0", "1")


@pytest.mark.parametrize("command", [None, "echo 'GPU 0: X (UUID: GPU-a)'\nexit 9\n"])
def test_device_files_are_counted_last(
    nvidia_smi: Path, command: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if command is not None:
        nvidia_smi.write_text(f"#!/bin/sh\n{command}")
        nvidia_smi.chmod(0o755)
    patterns: list[str] = []
    files = ["/dev/nvidia2", "/dev/nvidia3"]
    monkeypatch.setattr(glob, "glob", lambda pattern: patterns.append(pattern) or files)
    assert devices_here({}).names == ("0", "1")
    assert patterns == ["/dev/nvidia[0-9]*"]
    files.clear()
    assert devices_here({}).names == ()


def test_a_command_that_hangs_is_given_up(
    nvidia_smi: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "_LISTING_TIMEOUT", 0.1)
    nvidia_smi.write_text("#!/bin/sh\nwhile :; do :; done\n")
    nvidia_smi.chmod(0o755)
    monkeypatch.setattr(glob, "glob", lambda pattern: ["/dev/nvidia0"])
    assert devices_here({}).names == ("0",)


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({}, ()),
        # From the shell on the login node: SLURM gave the job no GPU.
        ({"CUDA_VISIBLE_DEVICES": "0,1"}, ()),
        ({"SLURM_JOB_GPUS": "2,3", "CUDA_VISIBLE_DEVICES": "2,3"}, ("2", "3")),
        ({"SLURM_JOB_GPUS": "2,3", "CUDA_VISIBLE_DEVICES": "0,1"}, ("0", "1")),
        ({"SLURM_JOB_GPUS": "0", "CUDA_VISIBLE_DEVICES": "MIG-a"}, ("MIG-a",)),
        ({"SLURM_JOB_GPUS": "2,3", "ROCR_VISIBLE_DEVICES": "2,3"}, ("0", "1")),
    ],
)
def test_a_job_uses_what_slurm_gave_it(environ: dict[str, str], found: tuple[str, ...]) -> None:
    assert devices_of_job(environ).names == found
