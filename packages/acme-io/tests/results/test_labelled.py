"""Results as a data set of xarray, whose dimensions are the arguments of a grid."""

import itertools
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import acme_io
from acme_io import Slots, StorageOptions
from acme_io.backend import Grid, RunStore
from acme_io.errors import DamagedFileError, PicklesRefusedError

WAYS = {
    "per call": StorageOptions(),
    "pickles": StorageOptions(pickle=True),
    "single file": StorageOptions(single_file=True),
    "stacked": StorageOptions(slots=Slots((None, 3))),
    "stacked last": StorageOptions(slots=Slots((3, None)), single_file=True),
}
GRID = Grid(("a", "b"), ([1, 2], np.array([0.1, 0.2, 0.3])))


def row(call: int) -> np.ndarray:
    return np.array([call, 0.5, -call])


def dataset_of(folder, **options) -> xr.Dataset:
    with acme_io.open_results(folder, allow_pickle=True) as results:
        return results.to_xarray(**options)


def write(folder, tools, func, options=None, grid=GRID, only=None):
    """Write the run of a grid; calls that are not in `only` stay missing."""
    combinations = list(itertools.product(*grid.values))
    n_calls = len(combinations)
    options = options or StorageOptions()
    store = RunStore.create(folder, "f", options, tools.new_run(n_calls, grid=grid))
    writer = store.sink.open(range(n_calls))
    for call in range(n_calls) if only is None else only:
        arguments = dict(zip(grid.names, combinations[call], strict=True))
        writer.put(tools.report(call, **arguments), func(call))
    receipt = writer.close()
    store.accept(receipt)
    tools.finish(store, [receipt])
    store.close()
    return folder


@pytest.mark.parametrize("way", WAYS)
def test_the_dimensions_are_those_of_the_grid(tmp_path, tools, way) -> None:
    found = dataset_of(write(tmp_path, tools, row, WAYS[way]))
    expected = np.stack([row(call) for call in range(6)]).reshape(2, 3, 3)
    assert found["result_0"].dims == ("a", "b", "result_0_dim_0")
    np.testing.assert_array_equal(found["result_0"], expected)
    assert found["a"].values.tolist() == [1, 2]
    assert found["b"].values.tolist() == [0.1, 0.2, 0.3]
    assert found["status"].dims == ("a", "b")
    assert set(found["status"].values.ravel()) == {"done"}
    np.testing.assert_array_equal(found["result_0"].sel(a=2, b=0.3), row(5))
    assert found.attrs["function"] == "f"


@pytest.mark.parametrize("way", WAYS)
def test_missing_calls_are_nan(tmp_path, tools, way) -> None:
    found = dataset_of(write(tmp_path, tools, row, WAYS[way], only=[1, 2, 5]))
    known = np.array([[False, True, True], [False, False, True]])
    np.testing.assert_array_equal(found["result_0"].notnull().all("result_0_dim_0"), known)
    np.testing.assert_array_equal(found["status"] == "done", known)
    assert found["b"].values.tolist() == [0.1, 0.2, 0.3]


def test_own_dimensions_get_names(tmp_path, tools) -> None:
    write(tmp_path, tools, lambda c: {"trace": np.zeros((2, 4)), "mean": c / 2, "edge": row(c)})
    names = {"trace": ["channel", "time"], "edge": "side"}
    found = dataset_of(tmp_path, dims=names)
    assert found["trace"].dims == ("a", "b", "channel", "time")
    assert found["edge"].dims == ("a", "b", "side")
    assert found["mean"].dims == ("a", "b")
    assert dataset_of(tmp_path)["edge"].dims == ("a", "b", "edge_dim_0")
    with pytest.raises(ValueError, match=r"trace has 2 dimensions for each call, dims names 1: t"):
        dataset_of(tmp_path, dims=["t"])


def test_one_and_three_axes(tmp_path, tools) -> None:
    found = dataset_of(write(tmp_path / "1", tools, float, grid=Grid(("x",), (range(4),))))
    assert found["result_0"].dims == ("x",)
    assert found["result_0"].values.tolist() == [0, 1, 2, 3]
    grid = Grid(("x", "kind", "z"), ([1, 2], ["low", "high"], [0.5, 1.5, 2.5]))
    found = dataset_of(write(tmp_path / "3", tools, float, grid=grid))
    assert dict(found.sizes) == {"x": 2, "kind": 2, "z": 3}
    assert found["result_0"].sel(kind="high", z=1.5).values.tolist() == [4, 10]


def test_a_part_of_a_grid_keeps_the_other_arguments(tmp_path, tools) -> None:
    write(tmp_path, tools, float)
    with acme_io.open_results(tmp_path) as results:
        found = results.sel(a=2, b=[0.3, 0.1]).to_xarray()
        assert found["result_0"].dims == ("b",)
        assert found["result_0"].values.tolist() == [5, 3]
        assert found["a"].item() == 2
        single = results.sel(a=1, b=0.2).to_xarray()
        assert single["result_0"].item() == 1
        assert single["b"].item() == 0.2


def test_without_a_grid_calls_are_the_dimension(run) -> None:
    def func(call: int) -> object:
        if call == 2:
            raise ZeroDivisionError
        return call, np.ones(2), "text", call > 0

    done = run(func, 4)
    found = dataset_of(done.output_dir, dims={"result_1": ["side"]})
    assert found["call"].values.tolist() == [0, 1, 2, 3]
    assert found["status"].values.tolist() == ["done", "done", "failed", "done"]
    np.testing.assert_array_equal(found["x"], [0, 1, np.nan, 3])
    np.testing.assert_array_equal(found["result_0"], [0, 1, np.nan, 3])
    assert found["result_1"].dims == ("call", "side")
    assert [one for one in found["result_2"].values if one == "text"] == ["text"] * 3
    assert found["result_2"].isnull().values.tolist() == [False, False, True, False]
    assert found["result_3"].values.tolist() == [False, True, None, True]
    with acme_io.open_results(done.output_dir) as results:
        some = results[[3, 0]].to_xarray()
        assert some["call"].values.tolist() == [3, 0]
        assert some["result_0"].values.tolist() == [3, 0]
        assert some["result_0"].dtype.kind == "i"


def test_other_values_are_elements(run) -> None:
    found = dataset_of(run(lambda call: (np.arange(call), [1, "a"], [call, 2], {1}), 3).output_dir)
    assert [len(one) for one in found["result_0"].values] == [0, 1, 2]
    assert found["result_1"].values.tolist() == [[1, "a"]] * 3
    assert found["result_2"].dims == ("call", "result_2_dim_0")
    assert found["result_3"].values.tolist() == [{1}] * 3


def test_names_of_arguments_win(tmp_path, tools) -> None:
    grid = Grid(("a", "status"), ([1, 2], [3, 4]))
    found = dataset_of(write(tmp_path, tools, lambda c: {"a": c, "status": -c}, grid=grid))
    assert set(found.data_vars) == {"result.a", "result.status"}
    assert found["status"].values.tolist() == [3, 4]
    assert set(found["call.status"].values.ravel()) <= {"done", "pickled"}


def test_labelled_results_keep_their_labels(run) -> None:
    def func(call: int) -> object:
        time = [0.0, 0.5, 1.0]
        trace = xr.DataArray([call, 1.0, 2.0], dims="time", coords={"time": time})
        return {"trace": trace, "series": pd.Series([1, call], index=pd.Index([7, 8], name="id"))}

    found = dataset_of(run(func, 3).output_dir)
    assert found["trace"].dims == ("call", "time")
    assert found["trace"].sel(call=2, time=0.0).item() == 2
    assert found["series"].sel(id=8).values.tolist() == [0, 1, 2]


def test_dimensions_of_results_and_calls_of_one_name_are_told_apart(tmp_path, tools) -> None:
    def func(call: int) -> object:
        own = xr.DataArray([call, 1], dims="a", coords={"a": [5, 6]})
        return {
            "own": own,
            "wide": xr.DataArray(np.ones(3)),
            "frame": pd.DataFrame({"u": [1, call]}),
        }

    found = dataset_of(write(tmp_path, tools, func))
    assert found["own"].dims == ("a", "b", "own_a")
    assert found["own"].sel(own_a=5).values.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["wide"].dims == ("a", "b", "wide_dim_0")
    assert found["frame"].dims == ("a", "b", "frame_dim_0", "frame_dim_1")
    assert found["frame"].sel(frame_dim_0=1, frame_dim_1="u").values[1, 2] == 5


def test_masked_elements_are_nan(run) -> None:
    def func(call: int) -> object:
        return np.ma.array([call, 1], mask=[call == 1, False])

    found = dataset_of(run(func, 2).output_dir)
    np.testing.assert_array_equal(found["result_0"], [[0, 1], [np.nan, 1]])


def test_an_argument_may_be_named_call(tmp_path, tools) -> None:
    store = RunStore.create(tmp_path, "f", StorageOptions(), tools.new_run(1))
    writer = store.sink.open(range(1))
    writer.put(tools.report(0, call="first"), 1.5)
    receipt = writer.close()
    store.accept(receipt)
    tools.finish(store, [receipt])
    store.close()
    assert dataset_of(tmp_path)["argument.call"].values.tolist() == ["first"]


def test_labels_that_differ_are_joined(run) -> None:
    def func(call: int) -> object:
        return xr.DataArray([1.0, 2.0], dims="t", coords={"t": [call, call + 1]})

    found = dataset_of(run(func, 2).output_dir)
    np.testing.assert_array_equal(found["result_0"], [[1, 2, np.nan], [np.nan, 1, 2]])
    assert found["t"].values.tolist() == [0, 1, 2]


def test_data_sets_become_variables(run) -> None:
    def func(call: int) -> object:
        return xr.Dataset({"u": ("t", [call, 1]), "v": 3.0}, coords={"t": [5, 6]})

    found = dataset_of(run(func, 2).output_dir)
    assert found["u"].sel(t=5).values.tolist() == [0, 1]
    assert found["v"].values.tolist() == [3, 3]


def test_no_results(run) -> None:
    def func(call: int) -> object:
        raise ZeroDivisionError

    found = dataset_of(run(func, 2).output_dir)
    assert not found.data_vars
    assert found["status"].values.tolist() == ["failed"] * 2


def test_damaged_and_pickled_results_are_errors(run) -> None:
    done = run(lambda call: {1, call}, 2)
    with acme_io.open_results(done.output_dir) as results, pytest.raises(PicklesRefusedError):
        results.to_xarray()
    done = run(lambda call: np.full(40_000, call), 2, StorageOptions(single_file=True))
    content = bytearray(done.container.read_bytes())
    content[len(content) // 2] ^= 1
    done.container.write_bytes(content)
    with acme_io.open_results(done.output_dir) as results, pytest.raises(DamagedFileError):
        results.to_xarray()


def test_without_xarray_the_error_says_what_to_install(run) -> None:
    done = run(float, 2)
    code = (
        "import sys; sys.modules['xarray'] = None; import acme_io\n"
        f"results = acme_io.open_results({str(done.output_dir)!r})\n"
        "try: results.to_xarray()\n"
        "except ImportError as error: print(error)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "acme-io[xarray]"' in found.stdout
