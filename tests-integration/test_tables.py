"""Runs on workers, read as tables and labelled arrays, in every way of storing."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from acme import ParallelMap, cross, open_results
from acme.cli import main

pytestmark = pytest.mark.usefixtures("workdir", "client")

WAYS = {
    "per call": {},
    "single file": {"single_file": True},
    "stacked": {"result_shape": (None, 2), "result_dtype": "float"},
    "stacked in one file": {"result_shape": (2, None), "single_file": True},
    "pickles": {"write_pickle": True},
}


def ratio(a, b, offset=0.0):
    return np.array([a // b, offset]), {"ratio": a / b}


@pytest.mark.parametrize("way", WAYS)
def test_a_sweep_is_a_table_and_a_labelled_array(way):
    axes = cross([1, 2, 3]), cross(np.array([0, 2, 4]))
    with ParallelMap(ratio, *axes, offset=0.5, output_dir="out", **WAYS[way]) as pmap:
        pmap.compute(on_error="keep")

    results = pmap.results
    assert results.grid.shape == (3, 3)
    assert len(results.filter(status="failed")) == len(pmap.failures)
    table = results.to_pandas()
    assert table["a"].tolist() == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert table["b"].tolist() == [0, 2, 4] * 3
    known = table["status"] == "done"
    np.testing.assert_array_equal(table["result_1.ratio"][known], (table["a"] / table["b"])[known])
    assert (table["seconds"][known] >= 0).all()
    assert (table["peak_memory"][known] > 1e6).all()

    data = results.to_xarray(dims={"result_0": ["part"]})
    assert data["result_0"].dims == ("a", "b", "part")
    assert data["result_0"].sel(a=3, b=2).values.tolist() == [1, 0.5]
    assert results.sel(a=3, b=2).stack().tolist() == [1, 0.5]
    stacked = results.stack(missing="mask")
    assert stacked.shape == (3, 3, 2)
    np.testing.assert_array_equal(stacked.mask.all(axis=2), data["result_0"].isnull().all("part"))
    results.close()

    with open_results("out", allow_pickle=True) as reopened:
        assert reopened.grid == results.grid
    assert main(["table", "out", "--allow-pickle", "-o", "table.csv"]) == 0
    with open("table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == table["status"].tolist()
    assert list(rows[0])[1:] == table.columns.tolist()


def test_a_resumed_sweep_keeps_its_grid(workdir):
    repaired = workdir / "repaired"

    def fails_at_first(a, b):
        if b == 20 and not repaired.exists():
            raise ValueError(b)
        return a * b

    pmap = ParallelMap(fails_at_first, cross([1, 2]), cross([10, 20]), output_dir="out")
    with pmap:
        pmap.compute(on_error="keep")
    assert pmap.results.failed == [1, 3]
    first = pmap.results.to_pandas()
    assert first["result_0"].isna().tolist() == [False, True, False, True]
    assert first["b"].tolist() == [10, 20, 10, 20]

    repaired.touch()
    with pmap:
        pmap.compute(resume=True)
    assert pmap.results.stack().tolist() == [[10, 20], [20, 40]]
    assert pmap.results.to_pandas()["result_0"].tolist() == [10, 20, 20, 40]


def test_long_axes_come_from_the_records_of_calls():
    axis = np.geomspace(1, 2, 150)
    with ParallelMap(max, cross(axis), cross([1.5, 0.5]), output_dir="out") as pmap:
        pmap.compute()
    assert pmap.results.run.grid.shape == (150, 2)
    np.testing.assert_array_equal(pmap.results.grid.values[0], axis)
    data = pmap.results.to_xarray()
    names = pmap.results.grid.names
    assert data["result_0"].sel({names[1]: 0.5}).values.tolist() == axis.tolist()
