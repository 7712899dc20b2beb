"""xarray objects are groups that plain h5py reads, and come back exactly."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import acme_io
from acme_io import StorageOptions
from acme_io.errors import NotStorableError
from acme_io.hdf5.members import fields_of
from acme_io.tools.merge import merge
from acme_io.tools.verify import verify
from acme_io.values.encoding import decode, encode

WAYS = {"links": StorageOptions(), "single": StorageOptions(single_file=True)}

FIELD = xr.DataArray(
    np.arange(6.0).reshape(2, 3),
    dims=["x", "y"],
    coords={
        "x": ["a", "b"],
        "y": ("y", [1.0, 2.0, 3.0], {"units": "m"}),
        "z": ("x", [1, 2]),
        "s": 5,
        "t": pd.Timestamp("2020"),
    },
    name="temperature",
    attrs={"units": "K", "range": np.arange(2), "offset": 1.5},
)
LEVELS = pd.MultiIndex.from_product([["a", "b"], [3.0, 4.0]], names=["l", "k"])


def along(coordinate: Any) -> xr.DataArray:
    return xr.DataArray([1, 2], dims="c", coords={"c": coordinate})


LABELLED = {
    "field": FIELD,
    "scalar": xr.DataArray(5),
    "no labels": xr.DataArray(np.zeros((0, 3), "i2")),
    "name of any type": xr.DataArray([1, 2], name=("a", 1)),
    "dates": along(pd.date_range("2020", periods=2)),
    "dates with zone": along(pd.date_range("2020", periods=2, tz="UTC")),
    "categories": along(pd.CategoricalIndex(["a", "b"], ordered=True)),
    "object labels": along(np.array(["a", "b"], dtype=object)),
    "small labels": along(np.array([1, 2], "f4")),
    "objects": xr.DataArray(np.array([["a", None], ["b", np.nan]], object), dims=["p", "q/r"]),
    "texts": xr.DataArray(np.array(["a", "bc"])),
    "dataset": xr.Dataset({"a": FIELD, "b": ("x", [True, False]), "c/d": ((), 3)}, attrs={"t": 1}),
    "empty": xr.Dataset(),
    "coordinates only": xr.Dataset(coords={"x": [1, 2]}),
    "multi-index": xr.DataArray(
        range(4), dims="m", coords=xr.Coordinates.from_pandas_multiindex(LEVELS, "m")
    ),
    "stacked": FIELD.stack(m=["x", "y"]),
    "column": xr.Dataset({"e": ("x", pd.Categorical(["a", "b"]))}),
}


def round_trip(value: object) -> Any:
    encoded, form = encode(value)
    fields, arrays = fields_of(encoded)
    assert len({field.path for field in fields}) == len(fields)
    return decode(arrays, json.loads(json.dumps(form)))


@pytest.mark.parametrize("name", LABELLED)
def test_labelled_arrays_come_back(tools, name: str) -> None:
    assert tools.same(round_trip(LABELLED[name]), LABELLED[name])


@pytest.mark.parametrize("way", WAYS)
def test_labelled_arrays_come_back_from_files(run, tools, tmp_path: Path, way: str) -> None:
    values = [*LABELLED.values(), {"nested": [FIELD, {"again": FIELD.to_dataset()}]}]
    done = run(values.__getitem__, len(values), WAYS[way], batch=5)
    assert not done.errors
    assert not done.notes
    target = merge(done.output_dir, tmp_path / "merged.h5").path
    for path in (done.output_dir, target):
        assert verify(path) == []
        with acme_io.open_results(path) as results:
            for call in results:
                assert tools.same(call.values, values[call.index])


def test_plain_h5py_reads_labelled_arrays(run) -> None:
    done = run(lambda call: LABELLED["dataset"], 1)
    with h5py.File(done.container, "r") as file:
        group = file["comp_0/result_0"]
        assert group.attrs["kind"].decode() == "dataset"
        field = group["variables/a"]
        assert [dim.decode() for dim in field.attrs["dims"]] == ["x", "y"]
        assert field["values"][:].tolist() == FIELD.values.tolist()
        assert field["attrs/units"].asstr()[()] == "K"
        assert group["coords/y/values"][:].tolist() == [1.0, 2.0, 3.0]


class Lazy:
    """An array that is not NumPy's."""

    shape, dtype, ndim = (2,), np.dtype("f8"), 1

    def __array_function__(self, *arguments: Any) -> Any:
        return NotImplemented

    def __array_ufunc__(self, *arguments: Any) -> Any:
        return NotImplemented


REFUSED = {
    "no index": (along([1, 2]).drop_indexes("c"), "coordinate 'c' without index"),
    "other array": (xr.DataArray(Lazy(), dims="x"), "type Lazy"),
    "attributes": (xr.DataArray([1], attrs={"a": {1}}), "type builtins.set"),
    "name": (xr.Dataset({1: ("x", [1])}), "names must be text"),
    "dimension": (xr.DataArray([1], dims=[("x", 1)]), "names must be text"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_change_is_refused_with_its_reason(name: str) -> None:
    value, reason = REFUSED[name]
    with pytest.raises(NotStorableError, match=reason):
        encode(value)


def test_arrays_that_dask_has_yet_to_compute_are_refused(monkeypatch) -> None:
    monkeypatch.setattr(xr.Variable, "chunks", ((2,),))
    with pytest.raises(NotStorableError, match=r"dask has yet to compute.*\.compute\(\)"):
        encode(xr.DataArray([1, 2]))


keys = st.text("ab/.%", min_size=1, max_size=3)


@st.composite
def variables(draw: Any, sizes: dict[str, int]) -> xr.Variable:
    dims = draw(st.lists(st.sampled_from(sorted(sizes)), unique=True, max_size=2)) if sizes else []
    dtype = draw(st.sampled_from(["f8", "i2", "?", "U3", "c8", "M8[ns]", "m8[ns]"]))
    values = draw(hnp.arrays(dtype, tuple(sizes[dim] for dim in dims)))
    attrs = draw(
        st.dictionaries(keys, st.one_of(st.integers(0, 9), st.text(max_size=3)), max_size=2)
    )
    return xr.Variable(dims, values, attrs)


@st.composite
def datasets(draw: Any) -> xr.Dataset:
    sizes = draw(st.dictionaries(keys, st.integers(0, 3), max_size=3))
    names = draw(st.lists(keys.filter(lambda key: key not in sizes), unique=True, max_size=4))
    found = {name: draw(variables(sizes)) for name in names}
    split = draw(st.integers(0, len(names)))
    coords: dict[str, Any] = {name: found.pop(name) for name in names[:split]}
    for dim, size in sizes.items():
        kind = draw(st.sampled_from(["none", "numbers", "texts", "dates"]))
        if kind != "none":
            texts = np.array(list("xyz"))[:size]
            dates = pd.date_range("2020", periods=size)
            coords[dim] = {"numbers": np.arange(size) / 2, "texts": texts, "dates": dates}[kind]
    return xr.Dataset(found, coords, {"attribute": [1, 2]})


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=60,
)
@given(dataset=datasets())
def test_encoding_loses_nothing(tools, dataset: xr.Dataset) -> None:
    assert tools.same(round_trip(dataset), dataset)
    for array in dataset.data_vars.values():
        assert tools.same(round_trip(array), array)
