"""Records of many calls are stored in the order of calls and kept out of memory."""

import random
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

import acme_io
from acme_io import StorageOptions
from acme_io.files import atomic as files
from acme_io.files.checksum import LARGE
from acme_io.hdf5.new_file import NewFile
from acme_io.hdf5.objects import read_column, read_text
from acme_io.hdf5.record_lines import RecordLines
from acme_io.tools.verify import verify

SINGLE = StorageOptions(single_file=True)


def filled(n_calls: int, length: int, folder: Path) -> tuple[RecordLines, list[str]]:
    """Return records added in random order, some twice and some never, and the expected lines."""
    rng = random.Random(f"{n_calls} {length}")
    expected = [""] * n_calls
    lines = RecordLines(n_calls, folder)
    starts = list(range(0, n_calls, 50)) * 2
    rng.shuffle(starts)
    for start in starts[: len(starts) * 2 // 3]:
        calls = [call for call in range(start, min(start + 50, n_calls)) if rng.random() < 0.9]
        some = [f"{call}{'x' * rng.randrange(length)}" for call in calls]
        for call, line in zip(calls, some, strict=True):
            expected[call] = line
        if calls:
            lines.add(calls, some)
    return lines, expected


@pytest.mark.parametrize(("n_calls", "length"), [(1, 9), (120, 10), (3000, 40), (20_000, 300)])
def test_lines_are_written_where_the_library_made_room(
    tmp_path: Path, n_calls: int, length: int
) -> None:
    lines, expected = filled(n_calls, length, tmp_path)
    text = "\n".join(expected)
    assert lines.text().decode() == text
    assert len(lines) == len(text)
    new = NewFile(tmp_path / "f.h5", 512, dense=True)
    lines.declare(new.root)
    new.close_hdf5()
    ranges = lines.fill(new, 512)
    assert len(ranges) == (len(text) >= LARGE)
    for offset, size, crc in ranges:
        new.file.seek(offset)
        assert new.file.read(size).decode() == text
        assert crc == zlib.crc32(text.encode())
    new.reopen_hdf5()
    assert read_text(new.root, "calls") == text
    assert read_column(new.root, "calls_end")[-1] == len(text) + 1
    new.abort()
    lines.close()


def test_the_library_writes_lines_into_an_attribute_that_is_not_found(
    tmp_path: Path, monkeypatch
) -> None:
    lines, expected = filled(20_000, 300, tmp_path)
    new = NewFile(tmp_path / "f.h5", 512, dense=True)
    lines.declare(new.root)
    new.close_hdf5()
    monkeypatch.setattr("acme_io.hdf5.record_lines.find_attribute", lambda *where: None)
    assert lines.fill(new, 512) == []
    new.reopen_hdf5()
    assert read_text(new.root, "calls") == "\n".join(expected)
    new.abort()
    lines.close()


def test_cleared_lines_are_empty() -> None:
    lines, _ = filled(60, 10, Path())
    lines.clear()
    assert lines.text() == b"\n" * 59
    lines.add([59], ["end"])
    assert lines.text() == b"\n" * 59 + b"end"
    lines.close()


def test_records_are_not_kept_in_memory(tmp_path: Path) -> None:
    lines = RecordLines(100_000, tmp_path)
    tracemalloc.start()
    for start in range(0, 100_000, 500):
        lines.add(range(start, start + 500), [f"{call:300}" for call in range(start, start + 500)])
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 4 << 20
    assert len(lines) == 100_000 * 301 - 1
    lines.close()


def test_single_files_of_many_calls_read_with_their_records(run) -> None:
    done = run(float, 12_000, SINGLE, batch=3000, retries=[7, 11_999])
    with acme_io.open_results(done.container) as results:
        assert results.stack().tolist() == list(range(12_000))
        for call in (0, 7, 8, 6000, 11_999):
            assert results[call].arguments == {"x": call}
            assert results[call].record["attempt"] == (2 if call in (7, 11_999) else 1)
    with h5py.File(done.container, "r") as file:
        assert len(file.attrs["calls"].split(b"\n")) == 12_000


MEMORY = """
import pathlib, sys
sys.path.insert(0, {tests!r})
from conftest import new_run, report
from acme_io import StorageOptions
from acme_io.runs.store import RunStore

def high_water():
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))

def run(n, name):
    store = RunStore.create(pathlib.Path(name), "f", StorageOptions(single_file=True), new_run(n))
    for start in range(0, n, 1000):
        writer = store.sink.open(range(start, start + 1000))
        for call in range(start, start + 1000):
            writer.put(report(call), float(call))
        store.accept(writer.close())
    before = high_water()
    store.finish()
    store.close()
    return before

run(1000, "warm")
before = high_water()
run(40_000, "many")
print((high_water() - before) / 40_000)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux how much memory was in use")
def test_a_call_takes_little_memory_on_the_client(tmp_path: Path) -> None:
    code = MEMORY.format(tests=str(Path(__file__).parents[1]))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    # Bytes per call: the HDF5 library takes 600 of them; an object per record would make it 2500.
    assert float(done.stdout) < 1500


def test_a_folder_is_removed_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    for number in range(100):
        (folder / f"{number}").write_bytes(b"x")
    files.remove_folder(folder)
    assert not folder.exists()
    files.remove_folder(folder)  # harmless


def test_a_folder_is_removed_where_open_files_keep_their_names(tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    (folder / "1").write_bytes(b"x")
    rmtree, calls = files.shutil.rmtree, []

    def keeps_the_first_time(path: Path, **options: bool) -> None:
        calls.append(path)
        if len(calls) > 1:
            rmtree(path, **options)

    monkeypatch.setattr(files.shutil, "rmtree", keeps_the_first_time)
    files.remove_folder(folder)
    assert not folder.exists()


def test_results_of_several_sizes_pass_through_one_buffer(run) -> None:
    sizes = [3, 100_000, 0, 300_000, 5, 4096, 262_144, 262_145, 1]
    done = run(lambda call: np.full(sizes[call % 9], call), 90, SINGLE, batch=31)
    with acme_io.open_results(done.container) as results:
        for call in results:
            assert (call.values == call.index).all()
            assert len(call.values) == sizes[call.index % 9]
    assert verify(done.container) == []
