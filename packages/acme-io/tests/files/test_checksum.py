"""Checksums detect data that moved as well as data that changed."""

from __future__ import annotations

import importlib
import random
import shutil
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import acme_io
from acme_io import AcmeIOError, Slots, StorageOptions
from acme_io.backend import RunStore
from acme_io.files import checksum
from acme_io.tools.merge import merge
from acme_io.tools.rebuild import rebuild
from acme_io.tools.verify import verify

# Numbers in a result: 320 kB, so that its dataset has a range of its own, and its file is not
# one of the small ones that are read and checked whole.
N = 40_000
VERSION_1 = Path(__file__).parents[1] / "data" / "version-1"

WAYS = {
    "links": StorageOptions(),
    "stacked": StorageOptions(slots=Slots((None, N))),
    "single": StorageOptions(single_file=True),
    "stacked-single": StorageOptions(slots=Slots((None, N)), single_file=True),
    "pickles": StorageOptions(pickle=True),
}


def values(call: int) -> np.ndarray:
    return np.random.default_rng(call).random(N)


def swap_words(data: bytearray, word: int) -> None:
    data[word : word + 16] = data[word + 8 : word + 16] + data[word : word + 8]


def swap_blocks(data: bytearray, block: int) -> None:
    data[block : block + 8192] = data[block + 4096 : block + 8192] + data[block : block + 4096]


def rotate_words(data: bytearray, block: int) -> None:
    data[block : block + 4096] = data[block + 8 : block + 4096] + data[block : block + 8]


def reverse_words(data: bytearray, block: int) -> None:
    words = np.frombuffer(bytes(data[block : block + 4096]), "<u8")
    data[block : block + 4096] = words[::-1].tobytes()


def zero_word(data: bytearray, word: int) -> None:
    data[word : word + 8] = bytes(8)


def zero_block(data: bytearray, block: int) -> None:
    data[block : block + 4096] = bytes(4096)


def duplicate_word(data: bytearray, word: int) -> None:
    data[word + 8 : word + 16] = data[word : word + 8]


def duplicate_block(data: bytearray, block: int) -> None:
    data[block + 4096 : block + 8192] = data[block : block + 4096]


def add_and_subtract(data: bytearray, word: int) -> None:
    """Change two words of a block without changing their sum."""
    pair = np.frombuffer(bytes(data[word : word + 16]), "<u8").copy()
    pair += np.array([1, 2**64 - 1], "u8")
    data[word : word + 16] = pair.tobytes()


CHANGES = [
    swap_words,
    swap_blocks,
    rotate_words,
    reverse_words,
    zero_word,
    zero_block,
    duplicate_word,
    duplicate_block,
    add_and_subtract,
]


def file_with(output_dir: Path, content: bytes) -> tuple[Path, int]:
    """Return the one file that holds a result, and the offset of the result in it."""
    found = [
        (path, at)
        for path in output_dir.rglob("*")
        if path.is_file() and (at := path.read_bytes().find(content)) >= 0
    ]
    assert len(found) == 1
    return found[0]


def changed_is_found(folder: Path, change: Callable[[bytearray, int], None], seed: str) -> None:
    """Check that `verify` reports a changed result and that readers refuse it; restore it."""
    path, start = file_with(folder, values(2).tobytes())
    whole = path.read_bytes()
    rng = random.Random(seed)
    for _ in range(3):
        damaged = bytearray(whole)
        change(damaged, start + 8 * rng.randrange(N - 2048))
        assert damaged != whole
        path.write_bytes(damaged)
        assert verify(folder), f"{change.__name__} in {path.name}"
        not_read(folder, 2)
    path.write_bytes(whole)


def not_read(folder: Path, call: int) -> None:
    """Check that a damaged result raises, alone and when stacked, and that others are read."""
    with acme_io.open_results(folder, allow_pickle=True) as results:
        with pytest.raises(AcmeIOError):
            _ = results[call].values
        with pytest.raises(AcmeIOError):
            results.stack()
        first = results[0].values
        np.testing.assert_array_equal(first[0] if isinstance(first, tuple) else first, values(0))


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("way", WAYS)
def test_moved_and_repeated_data_is_found(run, way: str, change) -> None:
    done = run(values, 4, WAYS[way], batch=2)
    changed_is_found(done.output_dir, change, way)
    assert verify(done.output_dir) == []


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("way", ["links", "stacked", "several"])
def test_moved_and_repeated_data_is_found_in_merged_files(
    run, tmp_path: Path, way: str, change
) -> None:
    func = (lambda call: (values(call), call * "x")) if way == "several" else values
    done = run(func, 4, WAYS.get(way), batch=2)
    (tmp_path / "merged").mkdir()
    merge(done.container, tmp_path / "merged" / "all.h5")
    changed_is_found(tmp_path / "merged", change, way)


@pytest.mark.parametrize("single_file", [False, True])
def test_further_values_beside_rows_are_checked(run, tmp_path: Path, single_file: bool) -> None:
    options = StorageOptions(slots=Slots((None, 3)), single_file=single_file)
    done = run(lambda call: (np.zeros(3), values(call)), 4, options, batch=4)
    path, start = file_with(done.output_dir, values(2).tobytes())
    data = bytearray(path.read_bytes())
    swap_words(data, start + 8)
    path.write_bytes(data)
    assert verify(done.output_dir)
    with pytest.raises(AcmeIOError), acme_io.open_results(done.output_dir) as results:
        _ = results[2].values
    with pytest.raises(AcmeIOError):
        merge(done.container, tmp_path / "all.h5")


@pytest.mark.parametrize("way", ["single", "stacked-single"])
def test_damaged_parts_are_neither_read_nor_copied(tmp_path: Path, tools, way: str) -> None:
    def func(call: int) -> tuple[np.ndarray, np.ndarray]:
        return values(call), values(call + 100)

    options = WAYS[way]
    store = RunStore.create(tmp_path / "a", "f", options, tools.new_run(4))
    store.accept(tools.write_batch(store, func, range(4)))
    kept = tmp_path / "kept"
    # Without the unfinished container, which a thread may be writing: it holds the same bytes.
    ignored = shutil.ignore_patterns("*.claim", "*.tmp")
    shutil.copytree(store.output_dir, kept, ignore=ignored)
    store.close(discard=True)
    for part_of_value in (values(2), values(102)):
        path, start = file_with(kept, part_of_value.tobytes())
        whole = path.read_bytes()
        data = bytearray(whole)
        swap_words(data, start + 8)
        path.write_bytes(data)
        assert verify(kept)
        with pytest.raises(AcmeIOError), acme_io.open_results(kept) as results:
            _ = results[2].values
        try:
            merged = merge(kept, tmp_path / "all.h5")
        except AcmeIOError:
            pass
        else:
            with acme_io.open_results(merged.path) as results:
                assert results.status[2] == "missing"
            merged.path.unlink()
        path.write_bytes(whole)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("way", ["links", "stacked", "single"])
def test_moved_and_repeated_data_is_found_in_killed_runs(run, tools, way: str, change) -> None:
    done = run(values, 4, WAYS[way], batch=2)
    if way == "single":
        store = RunStore.create(
            done.output_dir.with_name("killed"), "f", WAYS[way], tools.new_run(4)
        )
        store.accept(tools.write_batch(store, values, range(4)))
        part = next(store.output_dir.rglob("*.h5"))
        folder = store.output_dir
        kept = folder / "kept"
        shutil.copytree(part.parent, kept / part.parent.name)
        store.close(discard=True)
        folder = kept
    else:
        done.container.unlink()
        folder = done.output_dir
    path, start = file_with(folder, values(2).tobytes())
    data = bytearray(path.read_bytes())
    change(data, start + 800)
    path.write_bytes(data)
    try:
        rebuild(folder)
        found = verify(folder)
    except AcmeIOError:
        found = [None]
    with acme_io.open_results(folder) as results:
        unread = results.status[2] != "done"
    assert found or unread


@given(
    data=st.binary(max_size=200_000),
    cut=st.integers(0, 200_000),
)
def test_pieces_give_the_checksum_of_the_whole(data: bytes, cut: int) -> None:
    assert checksum.checksum(data[cut:], checksum.checksum(data[:cut])) == zlib.crc32(data)


def test_zlib_ng_and_zlib_agree(monkeypatch) -> None:
    data = random.Random(0).randbytes(100_001)
    pieces = [data[:n] for n in (0, 1, 7, 64, 4096, 32_768, 100_001)]
    quick = [checksum.checksum(piece, 5) for piece in pieces]
    from zlib_ng import zlib_ng

    assert quick == [zlib_ng.crc32(piece, 5) for piece in pieces]
    monkeypatch.setitem(sys.modules, "zlib_ng.zlib_ng", None)
    try:
        plain = importlib.reload(checksum)
        assert plain.crc32 is zlib.crc32
        assert [plain.checksum(piece, 5) for piece in pieces] == quick
    finally:
        monkeypatch.undo()
        importlib.reload(checksum)


@pytest.mark.parametrize("kind", ["links", "single", "stacked", "stacked-single", "alike"])
def test_large_results_of_version_1_are_verified_by_its_own_checksum(
    tmp_path: Path, kind: str
) -> None:
    folder = tmp_path / kind
    shutil.copytree(VERSION_1 / f"large-{kind}", folder)
    assert verify(folder) == []
    first = np.arange(5000.0) * 3
    with acme_io.open_results(folder) as results:
        assert results.stack().tolist() == [(first + call).tolist() for call in range(2)]
    path, start = file_with(folder, first.tobytes())
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[start + 5000] ^= 1
    path.write_bytes(damaged)
    assert verify(folder)
    damaged = bytearray(whole)
    swap_words(damaged, start + 8)  # version 1 cannot detect this
    path.write_bytes(damaged)
    assert verify(folder) == []


@pytest.mark.parametrize("kind", ["parts", "batches"])
def test_unfinished_runs_of_version_1_are_resumed_by_version_2(tmp_path: Path, tools, kind) -> None:
    from acme_io.backend import finished_calls

    folder = tmp_path / kind
    shutil.copytree(VERSION_1 / f"large-{kind}", folder)
    found = finished_calls(folder, "f")
    assert found is not None
    options = found.options
    store = RunStore.resume(folder, "f", options, found.run, [0, 1])

    def func(call: int) -> np.ndarray:
        return np.arange(5000.0) * 3 + call

    receipt = tools.write_batch(store, func, range(2, 4))
    store.accept(receipt)
    tools.finish(store, [receipt])
    container = store.container
    store.close()
    assert verify(folder) == []
    with acme_io.open_results(container) as results:
        assert results.stack().tolist() == [func(call).tolist() for call in range(4)]
    for call in (2, 3):
        path, start = file_with(folder, func(call).tobytes())
        whole = path.read_bytes()
        damaged = bytearray(whole)
        swap_words(damaged, start + 8)
        path.write_bytes(damaged)
        assert verify(folder)
        path.write_bytes(whole)
    if kind == "parts":  # the container is new, and so are the checksums of all data in it
        path, start = file_with(folder, func(0).tobytes())
        damaged = bytearray(path.read_bytes())
        swap_words(damaged, start + 8)
        path.write_bytes(damaged)
        assert verify(folder)
