"""A full disk fails the affected calls with the system's message and damages nothing.

The disk is a small memory file system if mounting is allowed. A limit on file sizes, which needs no
privileges, makes the same system calls fail.
"""

import contextlib
import errno
import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import acme_io
from acme_io import Slots, StorageOptions
from acme_io.runs.store import RunStore
from acme_io.tools.rebuild import rebuild
from acme_io.tools.verify import verify

WAYS = {
    "links": StorageOptions(),
    "stacked": StorageOptions(slots=Slots((None, 20_000))),
    "single": StorageOptions(single_file=True),
    "pickles": StorageOptions(pickle=True),
}


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[bool]:
    """Mount a small file system; yield False if that is not allowed."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


@contextlib.contextmanager
def small_files(size: int) -> Iterator[None]:
    """Make writes beyond `size` bytes fail with EFBIG."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # By default SIGXFSZ ends the process; ignored, `write` fails instead.
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def fill(folder: Path, tools, options: StorageOptions, n_calls: int) -> tuple[dict, list]:
    """Write until the disk is full; return the errors and the receipts."""
    store = RunStore.create(folder, "f", options, tools.new_run(n_calls))
    receipts = []
    for call in range(n_calls):
        value = np.full(20_000, float(call))
        receipts.append(tools.write_batch(store, lambda _, v=value: v, range(call, call + 1)))
        if options.slots is not None or not options.single_file:
            store.accept(receipts[-1])
    errors = {call: error for receipt in receipts for call, error in receipt.errors.items()}
    store._claim.release()
    return errors, receipts


def check(folder: Path, errors: dict[int, Exception], n_calls: int) -> None:
    """Check that calls without an error are complete, and that no temporary file is left."""
    temporary = [p for p in folder.rglob("*") if p.name.endswith(".tmp")]
    assert temporary == []
    with acme_io.open_results(folder, allow_pickle=True) as results:
        for call in range(n_calls):
            if call in errors:
                assert results[call].status == "missing"
            else:
                assert results[call].values[0] == call


@pytest.mark.parametrize("way", WAYS)
def test_full_disk(tmp_path: Path, tools, way: str) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with small_disk(disk, 2 << 20) as mounted:
        limit = contextlib.nullcontext() if mounted else small_files(100_000)
        with limit:
            errors, _ = fill(disk / "out", tools, WAYS[way], 20)
        assert errors
        for error in errors.values():
            assert isinstance(error, OSError)
            assert error.errno == (errno.ENOSPC if mounted else errno.EFBIG)
        if mounted:
            assert 0 not in errors
            check(disk / "out", errors, 20)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [20_000, 400_000])
def test_files_at_their_size_limit(tmp_path: Path, tools, way: str, size: int) -> None:
    """Small files are written in one piece, large ones by HDF5: both must fail cleanly."""
    options = WAYS[way]
    if options.slots is not None:
        options = StorageOptions(slots=Slots((None, size)))
    store = RunStore.create(tmp_path / "out", "f", options, tools.new_run(3))
    limit = 8 * size // 2
    first = tools.write_batch(store, lambda call: np.full(size, 1.0), range(1))
    with small_files(limit):
        second = tools.write_batch(store, lambda call: np.full(size, 2.0), range(1, 2))
        again = tools.write_batch(store, lambda call: np.full(size, 3.0), range(1), attempt=2)
    third = tools.write_batch(store, lambda call: np.full(size, 4.0), range(2, 3))
    assert [error.errno for error in second.errors.values()] == [errno.EFBIG]
    assert [error.errno for error in again.errors.values()] == [errno.EFBIG]
    for receipt in (first, second, third):
        store.accept(receipt)
    tools.finish(store, [first, second, third])
    store.close()
    assert verify(tmp_path / "out") == []
    with acme_io.open_results(tmp_path / "out", allow_pickle=True) as results:
        assert [results[call].values[0] for call in (0, 2)] == [1, 4]
        assert results.failed == [1]


def test_disk_full_at_the_end_of_a_run(tmp_path: Path, tools) -> None:
    """The container cannot be written; the parts stay for a rebuild."""
    store = RunStore.create(tmp_path, "f", WAYS["single"], tools.new_run(2))
    receipt = tools.write_batch(store, lambda call: np.full(20_000, float(call)), range(2))
    with small_files(100_000):
        store.accept(receipt)
        with pytest.raises(OSError) as caught:  # noqa: PT011
            tools.finish(store, [receipt])
        store.close()
    assert caught.value.errno == errno.EFBIG
    assert os.listdir(tmp_path) == [".f_parts"]
    assert rebuild(tmp_path).counts["done"] == 2
    assert verify(tmp_path) == []


def test_error_for_an_unwritten_container_names_the_kept_parts(
    tmp_path: Path, tools, monkeypatch
) -> None:
    store = RunStore.create(tmp_path / "out", "f", WAYS["single"], tools.new_run(4))
    receipts = [tools.write_batch(store, float, range(4))]
    store.accept(receipts[-1])

    def no_room(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("acme_io.hdf5.new_file.NewFile.publish", no_room)
        with pytest.raises(OSError, match=r"f\.h5 was not written.*\.f_parts.*resume") as caught:
            tools.finish(store, receipts)
    assert caught.value.errno == errno.ENOSPC
    store.close()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".f_parts"]
    rebuild(tmp_path / "out")
    with acme_io.open_results(tmp_path / "out") as results:
        assert results.stack().tolist() == [0, 1, 2, 3]
