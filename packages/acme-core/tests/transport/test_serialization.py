"""How values travel, and how each call gets arguments of its own."""

import os
import pickle
import subprocess
import sys
import threading
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme_core.errors import SharedFilesError
from acme_core.transport import serialization
from acme_core.transport.large_objects import (
    INLINE_LIMIT,
    LargeObjects,
    pack_outcome,
    unpack,
    unpack_outcome,
)

plain = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text())
nested = st.recursive(plain, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


def no_file(array):
    raise AssertionError("no array here is large")


@given(st.lists(nested, max_size=20))
def test_columns_survive_a_round_trip(items):
    column = pickle.loads(serialization.dumps(serialization.freeze_column(items, no_file)))
    assert list(column) == items


@given(nested)
def test_thawed_values_are_equal_but_new(value):
    packed = serialization.freeze(value)
    if isinstance(packed, serialization.Frozen):
        assert packed.thaw() == value
        assert packed.thaw() is not packed.thaw()
    else:
        assert packed is value


@given(st.lists(st.lists(st.integers()), max_size=9), st.integers(0, 9), st.integers(0, 9))
def test_parts_of_columns_travel_alone(items, start, stop):
    part = serialization.freeze_column([*items, [0]], no_file)[start:stop][:4]
    there = pickle.loads(pickle.dumps(part))
    assert list(part) == list(there) == [*items, [0]][start:stop][:4]
    assert len(part) == len(there)
    assert len(pickle.dumps(there)) <= 300 + len(pickle.dumps(list(there)))


def test_calls_given_the_same_object_do_not_share_it():
    one = [1]
    first, second = serialization.freeze_column([one, one], no_file)
    first.append(2)
    assert second == [1]


@pytest.mark.parametrize("value", [np.arange(3), [1], {"a": 1}, {1}, bytearray(b"a"), ([],)])
def test_mutable_values_are_frozen(value):
    assert isinstance(serialization.freeze(value), serialization.Frozen)


@pytest.mark.parametrize("value", [1, "a", (1, (2, "b")), np.float32(1), None, int, len, range(3)])
def test_immutable_values_are_not_copied(value):
    assert serialization.freeze(value) is value


def test_functions_keep_the_names_of_their_files():
    namespace = {}
    source = "def outer():\n    def inner():\n        return 1\n    return inner"
    exec(compile(source, "/somewhere/script.py", "exec"), namespace)
    outer = serialization.loads(serialization.dumps(namespace["outer"]))
    assert outer.__code__.co_filename == "/somewhere/script.py"
    assert outer()() == 1
    assert outer().__code__.co_filename == "/somewhere/script.py"


VIEWS = [
    memoryview(b"abc"),
    memoryview(b""),
    memoryview(bytearray(b"abc")),
    memoryview(b"abcdef")[::2],
    memoryview(np.arange(6.0).reshape(2, 3)),
    memoryview(np.arange(6, dtype="i2").reshape(2, 3).T),
    memoryview(np.arange(3, dtype=">i4")),
    memoryview(np.zeros((0, 3))),
    memoryview(np.array(1.5)),
    memoryview(np.zeros(2, [("a", "i4"), ("b", "f8")])),
    memoryview(np.ones(2)).toreadonly(),
]


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("inside", [lambda view: view, lambda view: [view, 1]])
def test_memoryviews_survive_a_round_trip(view, inside):
    found = serialization.loads(serialization.dumps(inside(view)))
    found = found if inside(view) is view else found[0]
    assert type(found) is memoryview
    assert found.tobytes() == view.tobytes()
    for fact in ("format", "shape", "readonly", "itemsize"):
        assert getattr(found, fact) == getattr(view, fact)


def test_unpicklable_item_fails_alone():
    column = serialization.freeze_column([[1], threading.Lock()], no_file)
    items = iter(pickle.loads(pickle.dumps(column)))
    assert next(items) == [1]
    with pytest.raises(TypeError, match="cannot be sent to a worker"):
        next(items)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(300_000.0),
        np.arange(300_000.0).reshape(500, -1).T,
        np.arange(300_000.0).reshape(500, -1)[::2],
        np.zeros(200_000, "M8[s]"),
        np.zeros(100_000, [("a", "<f8"), ("b", "S3")]),
    ],
)
def test_large_arrays_are_mapped_unchanged(array, tmp_path):
    large_objects = LargeObjects(tmp_path)
    (item,) = serialization.freeze_column([array], large_objects.save)
    assert item.dtype == array.dtype
    assert item.flags.f_contiguous == (array.flags.f_contiguous or array.size == 0)
    assert np.array_equal(item, array)
    item[:] = np.zeros((), array.dtype)
    (again,) = serialization.freeze_column([array], large_objects.save)
    assert np.array_equal(again, array)
    large_objects.close()


def test_datasets_travel_by_name(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["g/x"] = np.arange(5)
    with h5py.File(tmp_path / "a.h5", "r") as file:
        pickled = serialization.dumps({"data": file["g/x"], "file": file})
    assert len(pickled) < 1000
    there = serialization.loads(pickled)
    assert there["data"][:].tolist() == [0, 1, 2, 3, 4]
    assert there["file"].mode == "r"
    there["file"].close()


def test_small_parcels_travel_inline(tmp_path):
    large_objects = LargeObjects(tmp_path)
    assert unpack(large_objects.pack(b"abc")) == b"abc"
    assert list(tmp_path.iterdir()) == []


def test_large_parcels_go_through_a_file(tmp_path):
    large_objects = LargeObjects(tmp_path)
    content = b"x" * (INLINE_LIMIT + 1)
    parcel = large_objects.pack(content)
    assert isinstance(parcel, str)
    assert unpack(parcel) == content
    (folder,) = tmp_path.iterdir()
    assert folder.stat().st_mode & 0o077 == 0
    large_objects.release(parcel)
    with pytest.raises(SharedFilesError, match="output_dir"):
        unpack(parcel)
    large_objects.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("outcome_folder", ["box", "not there", None])
def test_outcomes_survive_a_round_trip(tmp_path, outcome_folder):
    (tmp_path / "box").mkdir()
    values = [np.arange(100_000.0), {"a": np.ones(100_000)}, "text", b"x" * 400_000]
    outcome = [serialization.freeze_result(call, value) for call, value in enumerate(values)]
    content = pack_outcome(outcome, outcome_folder and str(tmp_path / outcome_folder))
    assert (len(content) < 1000) == (outcome_folder == "box")
    assert len(list((tmp_path / "box").iterdir())) == (outcome_folder == "box")
    first, second, *others = unpack_outcome(content)
    array = first.thaw()
    array += 1
    assert np.array_equal(array, values[0] + 1)
    assert np.array_equal(first.thaw(), values[0])
    assert np.array_equal(second.thaw()["a"], values[1]["a"])
    assert others == values[2:]
    assert not list((tmp_path / "box").iterdir())
    if outcome_folder == "box":
        with pytest.raises(FileNotFoundError):
            unpack_outcome(content)


def test_without_room_in_memory_outcomes_are_sent(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=2_000_000))
    small, large = b"x" * 400_000, b"x" * 600_000
    assert len(pack_outcome(small, str(tmp_path))) < 1000
    assert len(pack_outcome(large, str(tmp_path))) > len(large)
    assert len(list(tmp_path.iterdir())) == 1
    assert unpack_outcome(pack_outcome(large, str(tmp_path))) == large


@pytest.mark.skipif(sys.platform != "linux", reason="without a folder in memory")
def test_folders_in_memory_of_killed_processes_are_removed():
    program = (
        "import os, sys, time; from acme_core.transport.large_objects import LargeObjects\n"
        "used = LargeObjects(None); print(used.outcome_folder(), flush=True)\n"
        "sys.stdin.read(); os._exit(1)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        abandoned_one = process.stdout.readline().strip()
        used = LargeObjects(None)
        folders = [abandoned_one, used.outcome_folder()]
        for folder in folders:
            os.utime(folder, (1e9, 1e9))
        another = LargeObjects(None)
        another.outcome_folder()
        another.close()
        assert all(map(os.path.isdir, folders))
        process.stdin.close()
        process.wait(30)
    another.outcome_folder()
    assert [os.path.isdir(folder) for folder in folders] == [False, True]
    another.close()
    used.close()
    assert not os.path.exists(folders[1])


@pytest.mark.parametrize(
    ("items", "size"),
    [
        (range(1000), 0),
        ([b"x" * 10_000] * 10, 100_000),
        (["x" * 10_000] * 10, 100_000),
        ([(i, bytes([i]) * 10_000) for i in range(10)], 100_000),
        ([{"a": np.zeros(1250)}] * 10, 100_000),
        ([np.zeros(1250)] * 10, 100_000),
        (np.zeros((10, 1250)), 100_000),
        ([1.0] * 10, 100),
    ],
)
def test_approximate_size_of_a_column(items, size):
    column = serialization.freeze_column(items, no_file)
    assert size <= serialization.column_nbytes(column) <= 1.1 * size + 500
