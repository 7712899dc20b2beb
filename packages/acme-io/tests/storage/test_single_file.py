"""All results in one file."""

from pathlib import Path

import h5py
import numpy as np
import pytest

import acme_io
from acme_io import StorageOptions
from acme_io.files.header import read_header
from acme_io.storage.single_file.part_file import LARGEST_PART

SINGLE = StorageOptions(single_file=True)


def several(call: int) -> object:
    return call, np.arange(call), f"{call:05}", None, np.zeros((2, 1, 3, 1, 2), "c8") + call


WAYS = {
    "scalars": float,
    "one array each": lambda call: np.full(5000, call),
    "several values": several,
    "texts of many lengths": lambda call: "ä" * call,
    "structured": lambda call: np.array([(call, b"x")], [("n", "<i4"), ("t", "S3")]),
    "empty": lambda call: np.zeros((0, call % 3)),
}


@pytest.mark.parametrize("n_calls", [63, 64, 500])
@pytest.mark.parametrize("way", WAYS)
def test_results_in_one_file(run, tools, way: str, n_calls: int) -> None:
    func = WAYS[way]
    done = run(func, n_calls, SINGLE, batch=37)
    read_header(done.container, check="all")
    with acme_io.open_results(done.container) as results:
        assert all(tools.same(results[call].values, func(call)) for call in range(n_calls))
    with h5py.File(done.container, "r") as file:
        # h5py before 3.13 lists members by name, not in creation order.
        assert sorted(file, key=lambda name: int(name[5:])) == [f"comp_{c}" for c in range(n_calls)]
        orders = [file.id.links.get_info(b"comp_%d" % call).corder for call in range(n_calls)]
        assert orders == sorted(orders)
        for call in range(0, n_calls, 7):
            value = func(call)
            expected = len(value) if isinstance(value, tuple) else 1
            group = file[f"comp_{call}"]
            assert list(group) == [f"result_{index}" for index in range(expected)]
            assert h5py.h5o.get_info(group.id).rc == 1


def test_tens_of_thousands_of_groups(run) -> None:
    # Enough links for HDF5 to add indirect blocks to the heap of the root group.
    done = run(float, 30_000, SINGLE, batch=5000)
    with h5py.File(done.container, "r") as file:
        assert len(file) == 30_000
        for call in [0, 1, 17_999, 18_000, 25_000, 29_999]:
            assert file[f"comp_{call}/result_0"][()].tolist() == [float(call)]


def test_function_may_reuse_its_array(run) -> None:
    row = np.zeros(LARGEST_PART // 40 // 8)

    def func(call: int) -> np.ndarray:
        row[:] = call
        return row

    done = run(func, 100, SINGLE, batch=100)
    with acme_io.open_results(done.container) as results:
        assert (results.stack() == np.arange(100)[:, None]).all()


def test_results_larger_than_a_part(run, tmp_path: Path) -> None:
    def func(call: int) -> tuple[np.ndarray, int, np.ndarray]:
        return np.full(LARGEST_PART // 8 - 3 + call, call), call, np.full((3, 7), call, "u1")

    done = run(func, 7, SINGLE, batch=7)
    with acme_io.open_results(done.container) as results:
        for call in results:
            big, number, small = call.values
            assert (big == call.index).all()
            assert big.size == LARGEST_PART // 8 - 3 + call.index
            assert (number, small.sum()) == (call.index, 21 * call.index)
