"""The grid of a run is on record in every way of storing."""

import dataclasses
import datetime
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import acme_io
from acme_io import Slots, StorageOptions
from acme_io.backend import Grid, RunStore, finished_calls
from acme_io.records.serialization import run_from_json, run_to_json
from acme_io.tools.merge import merge
from acme_io.tools.rebuild import rebuild

WAYS = {
    "per call": StorageOptions(),
    "single file": StorageOptions(single_file=True),
    "stacked": StorageOptions(slots=Slots((None,))),
    "stacked in one file": StorageOptions(slots=Slots((None,)), single_file=True),
    "pickles": StorageOptions(pickle=True),
}
AXES = Grid(names=("a", "b"), values=([1, 2, 3], [10, 20]))


def back(tools, *axes) -> Grid:
    names = tuple(f"p{number}" for number in range(len(axes)))
    text = run_to_json(tools.new_run(1, grid=Grid(names, axes)))
    json.loads(text, parse_constant=pytest.fail)  # valid JSON: no NaN, no infinity
    return run_from_json(text).grid


def test_a_grid_has_a_shape() -> None:
    assert AXES.shape == (3, 2)
    assert Grid(("a", "b"), (range(1, 4), np.array([10, 20]))) == AXES
    assert Grid(("a", "c"), AXES.values) != AXES
    assert Grid(("a", "b"), ([1, 2, 4], [10, 20])) != AXES
    assert AXES.__eq__("grid") is NotImplemented


@pytest.mark.parametrize("names", [("a",), ("a", "a")])
def test_each_axis_needs_a_name(names) -> None:
    with pytest.raises(ValueError, match="one name per axis"):
        Grid(names, ([1], [2]))


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_storing_keeps_the_grid(tmp_path, tools, way) -> None:
    folder, options = tmp_path / "out", WAYS[way]
    store = RunStore.create(folder, "f", options, tools.new_run(6, grid=AXES))
    receipt = tools.write_batch(store, float, range(4))
    store.accept(receipt)
    tools.finish(store, [receipt])
    store.close()
    assert acme_io.open_results(folder).run.grid == AXES

    found = finished_calls(folder, "f")
    assert found.run.grid == AXES
    store = RunStore.resume(folder, "f", options, found.run, found.calls)
    store.accept(receipt := tools.write_batch(store, float, range(4, 6)))
    tools.finish(store, [receipt])
    store.close()
    assert acme_io.open_results(folder).run.grid == AXES

    if not options.pickle:
        merge(folder, tmp_path / "merged.h5")
        assert acme_io.open_results(tmp_path / "merged.h5").run.grid == AXES
    if not options.single_file:
        (folder / ("f_record.h5" if options.pickle else "f.h5")).unlink()
        rebuild(folder)
    assert acme_io.open_results(folder).run.grid == AXES


floats = st.floats(width=64)
arrays = st.one_of(
    st.lists(floats, min_size=1).map(np.array),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1).map(np.array),
    st.lists(st.booleans(), min_size=1).map(np.array),
    st.lists(st.complex_numbers(), min_size=1).map(np.array),
    st.lists(st.text(min_size=1), min_size=1).map(np.array),
    st.lists(st.datetimes(), min_size=1).map(lambda them: np.array(them, "M8[us]")),
    st.builds(np.linspace, st.floats(-10, 10), st.floats(-10, 10), st.integers(1, 400)),
    st.builds(np.arange, st.integers(1, 400)),
)
lists = st.lists(st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.floats(-9, 9)))


@given(array=arrays)
def test_arrays_come_back_or_only_their_length(tools, array) -> None:
    (axis,) = back(tools, array).values
    assert len(axis) == len(array)
    assert tools.same(axis, array) or axis == [None] * len(array)


@given(values=lists)
def test_lists_come_back_or_only_their_length(tools, values) -> None:
    (axis,) = back(tools, values).values
    assert tools.same(axis, values) or axis == [None] * len(values)


@pytest.mark.parametrize(
    "axis",
    [
        range(0, 10**6, 3),
        np.linspace(0, 1, 100_000),
        np.arange(5000),
        np.linspace(-1, 1, 3, dtype="f4"),
        np.array([1, np.nan, -np.inf]),
        np.array([1.0, 2.5], np.longdouble),
        np.array(["2026-01-01", "NaT"], "M8[D]"),
        ["short", "texts"],
    ],
    ids=str,
)
def test_common_axes_are_on_record_in_full(tools, axis) -> None:
    found = back(tools, axis, [1])
    assert tools.same(found.values[0], axis)
    assert len(run_to_json(tools.new_run(1, grid=found))) < 2000


def test_values_of_other_kinds_become_comparable(tools) -> None:
    scalars, floats, objects = back(
        tools,
        list(np.linspace(0, 1, 5)),
        [1.0, float("nan")],
        [datetime.date(2026, 1, 2), np.zeros((2, 2)), {"k": list(range(1000))}, (1, 2)],
    ).values
    assert tools.same(scalars, np.linspace(0, 1, 5))
    assert tools.same(floats, np.array([1, np.nan]))
    assert objects[0] == "datetime.date(2026, 1, 2)"
    assert objects[1] == "array([[0., 0.], [0., 0.]])"
    assert objects[2].startswith("{'k': [0, 1")
    assert len(objects[2]) <= 81
    assert objects[3] == "(1, 2)"


def test_a_value_without_a_text_is_no_error(tools) -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    assert "Broken object at" in back(tools, [Broken()]).values[0][0]


def test_a_run_without_a_grid_says_nothing_about_it(tools) -> None:
    run = tools.new_run(1)
    assert run.grid is None
    assert "grid" not in json.loads(run_to_json(run))
    assert run_from_json(run_to_json(run)) == dataclasses.replace(run)
