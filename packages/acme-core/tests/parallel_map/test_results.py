"""The results of `compute`, on disk and in memory."""

import os
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from acme_core import ParallelMap
from acme_io import open_results

pytestmark = pytest.mark.usefixtures("workers")


def f(x, y, z=3):
    return (x + y) * z


def test_files_and_container(tmp_path):
    with ParallelMap(f, [2, 4, 6, 8], 4) as pmap:
        results = pmap.compute()
    (folder,) = tmp_path.iterdir()
    assert folder.name.startswith("ACME_")
    assert results == [str(folder / "f_payload" / f"f_{i}.h5") for i in range(4)]
    assert pmap.results_container == str(folder / "f.h5")
    assert pmap.output_dir == str(folder)
    assert Path(pmap.logfile).parent == folder
    with h5py.File(pmap.results_container, "r") as container:
        assert list(container) == [f"comp_{i}" for i in range(4)]
        assert [container[f"comp_{i}/result_0"][()].tolist() for i in range(4)] == [
            [18],
            [24],
            [30],
            [36],
        ]
    assert [call.values for call in pmap.results] == [18, 24, 30, 36]


def test_output_dir_of_the_user(tmp_path):
    with ParallelMap(f, [2, 4, 6, 8], 4, output_dir="here/there") as pmap:
        results = pmap.compute()
    assert results[0] == str(tmp_path / "here" / "there" / "f_payload" / "f_0.h5")


def test_second_compute_is_a_new_run():
    with ParallelMap(f, [2, 4], 4) as pmap:
        first, second = pmap.compute(), pmap.compute()
    assert Path(first[0]).parents[1] != Path(second[0]).parents[1]
    assert all(map(os.path.exists, first + second))


def test_results_are_never_overwritten(tmp_path):
    with ParallelMap(f, [2, 4], 4, output_dir=tmp_path / "out") as pmap:
        pmap.compute()
        before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
        with pytest.raises(OSError, match=r"resume=True.*output_dir"):
            pmap.compute()
    with pytest.raises(OSError, match="resume=True"):
        ParallelMap(f, [2, 4], 4, output_dir=tmp_path / "out").compute()
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_in_memory(in_memory, tmp_path):
    assert in_memory(f, [2, 4, 6, 8], 4) == [18, 24, 30, 36]
    assert list(tmp_path.iterdir()) == []


def test_arrays_in_memory(in_memory):
    results = in_memory(f, [2, 4, 6, 8], np.ones((3,)) * 4, n_inputs=4)
    assert [r.tolist() for r in results] == [[v] * 3 for v in (18.0, 24.0, 30.0, 36.0)]


def test_same_call_four_times(in_memory):
    assert in_memory(f, 2, 3, n_inputs=4) == [15, 15, 15, 15]


@pytest.mark.parametrize("options", [{}, {"single_file": True}, {"write_pickle": True}])
def test_memoryviews_on_disk(options):
    class Box:  # only cloudpickle can pickle its instances
        def __init__(self, view):
            self.view = view

    def g(x):
        view = memoryview(bytearray(b"abcdefgh")).cast("i")
        return Box(view) if x else view

    with ParallelMap(g, [0, 1], output_dir="out", **options) as pmap:
        pmap.compute()
    with open_results("out", allow_pickle=True) as results:
        for view in (results[0].values, results[1].values.view):
            assert type(view) is memoryview
            assert (view.tobytes(), view.format, view.readonly) == (b"abcdefgh", "i", False)


def test_result_shape_on_disk():
    y = np.ones((3,)) * 4
    with ParallelMap(f, [2, 4, 6, 8], y, n_inputs=4, result_shape=(None, 3)) as pmap:
        pmap.compute()
    with h5py.File(pmap.results_container, "r") as container:
        assert list(container) == ["result_0"]
        assert container["result_0"].dtype == np.dtype("<f8")
        assert container["result_0"][()].tolist() == [[v] * 3 for v in (18, 24, 30, 36)]


def test_result_shape_in_memory(in_memory):
    y = np.ones((3,)) * 4
    results = in_memory(f, [2, 4, 6, 8], y, n_inputs=4, result_shape=(None, 3))
    assert len(results) == 1
    assert results[0].dtype == float
    assert results[0].tolist() == [[v] * 3 for v in (18, 24, 30, 36)]


def test_other_values_in_memory_follow_the_stack(in_memory):
    stack, *others = in_memory(lambda x: (np.full(2, x), str(x)), [1, 2], result_shape=(None, 2))
    assert stack.tolist() == [[1, 1], [2, 2]]
    assert others == [["1"], ["2"]]


def test_many_calls_in_order(in_memory):
    assert in_memory(f, range(5000), 4) == [f(x, 4) for x in range(5000)]


def test_equal_arguments_are_not_merged(in_memory):
    identity = in_memory(lambda x: (os.getpid(), time.perf_counter_ns()), [1] * 50)
    assert len(set(identity)) == 50


def test_dicts_and_nested_values_are_read_as_they_were_returned():
    def nested(x):
        return {"x": x, "parts": [x, {"array": np.full(3, x)}]}

    with ParallelMap(nested, [2, 4]) as pmap:
        results = pmap.compute()
    assert [Path(result).suffix for result in results] == [".h5", ".h5"]
    value = pmap.results[1].values
    assert value["x"] == 4
    assert value["parts"][0] == 4
    assert value["parts"][1]["array"].tolist() == [4, 4, 4]


def test_one_warning_counts_the_results_that_were_pickled(capfd):
    def odd(x):
        return {3: {x}, 7: {"a": {1: x}}}.get(x, {x} if x > 20 else x)

    with ParallelMap(odd, range(30)) as pmap:
        pmap.compute()
    (warning,) = [line for line in capfd.readouterr().err.splitlines() if "WARNING" in line]
    assert warning.endswith(
        "11 results were pickled. 10 calls, the first is call 3: HDF5 cannot hold a value of type "
        "builtins.set. Call 7: HDF5 cannot hold a dict with the key 1: keys of dicts must be text."
    )
