"""The results of a grid: its shape in front of stacks, and selection by the values of axes."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import acme_io
from acme_io import Slots, StorageOptions
from acme_io.backend import Grid, RunStore

WAYS = {
    "per call": StorageOptions(),
    "pickles": StorageOptions(pickle=True),
    "single file": StorageOptions(single_file=True),
    "stacked": StorageOptions(slots=Slots((None, 2))),
    "stacked last": StorageOptions(slots=Slots((2, None))),
    "stacked in one file": StorageOptions(slots=Slots((2, None)), single_file=True),
}
LONG = [x**2 / 7 for x in range(120)]  # on record by its length alone
GRIDS = {
    "one axis": Grid(("a",), ([1, 2, 3],)),
    "two axes": Grid(("a", "b"), (range(1, 4), np.array([0.1, 0.2, 0.30000000000000004]))),
    "three axes": Grid(("x", "kind", "on"), ([1.5, 2.5], ["low", "high"], [True, False, None])),
    "long axis": Grid(("x", "y"), (LONG, [0, 1])),
}


def write(folder, tools, grid: Grid, options: StorageOptions, func=None, only=None):
    """Write the run of a grid, with the arguments of each call on record."""
    combinations = list(itertools.product(*grid.values))
    n_calls = len(combinations)
    store = RunStore.create(folder, "f", options, tools.new_run(n_calls, grid=grid))
    receipts = []
    for calls in (range(0, n_calls, 1)[at : at + 5] for at in range(0, n_calls, 5)):
        writer = store.sink.open(calls)
        for call in calls:
            if only is not None and call not in only:
                continue
            given_ = dict(zip(grid.names, combinations[call], strict=True))
            writer.put(tools.report(call, **given_), (func or pair)(call))
        receipts.append(writer.close())
        store.accept(receipts[-1])
    tools.finish(store, receipts)
    store.close()
    return folder


def pair(call: int) -> np.ndarray:
    return np.array([call, -call], float)


@pytest.mark.parametrize("kind", GRIDS)
@pytest.mark.parametrize("way", WAYS)
def test_stack_has_the_shape_of_the_grid(tmp_path, tools, way, kind) -> None:
    grid = GRIDS[kind]
    n_calls = math.prod(grid.shape)
    with acme_io.open_results(
        write(tmp_path, tools, grid, WAYS[way]), allow_pickle=True
    ) as results:
        assert results.grid == grid
        expected = np.stack([pair(call) for call in range(n_calls)]).reshape(*grid.shape, 2)
        np.testing.assert_array_equal(results.stack(), expected)
        # A selection by position is a list of calls, whatever its length.
        assert results[:2].grid is None
        rows = np.moveaxis(results[:2].stack(), results._source.stacking_axis, 0)
        np.testing.assert_array_equal(rows, [pair(0), pair(1)])
        assert sum(len(calls) for calls, _ in results.chunks(size=4)) == n_calls


@pytest.mark.parametrize("way", WAYS)
def test_missing_calls_are_masked_in_the_grid(tmp_path, tools, way) -> None:
    grid = GRIDS["two axes"]
    write(tmp_path, tools, grid, WAYS[way], only=range(1, 8))
    with acme_io.open_results(tmp_path, allow_pickle=True) as results:
        with pytest.raises(acme_io.AcmeIOError):
            results.stack()
        stacked = results.stack(missing="mask")
        assert stacked.shape == (3, 3, 2)
        assert stacked.mask.any(axis=2).tolist() == [
            [True, False, False],
            [False] * 3,
            [False, False, True],
        ]


def test_further_return_values_have_the_shape_of_the_grid(tmp_path, tools) -> None:
    grid = GRIDS["two axes"]
    options = StorageOptions(slots=Slots((2, None)))
    write(tmp_path, tools, grid, options, lambda call: (pair(call), call * 10))
    with acme_io.open_results(tmp_path) as results:
        np.testing.assert_array_equal(results.stack(1), np.arange(0, 90, 10).reshape(3, 3))


def test_calls_without_a_record_leave_gaps_in_a_long_axis(tmp_path, tools) -> None:
    write(tmp_path, tools, GRIDS["long axis"], StorageOptions(), only=range(1, 6))
    with acme_io.open_results(tmp_path) as results:
        assert list(results.grid.values[0]) == [*LONG[:3], *[None] * 117]
        assert results.grid.shape == results.run.grid.shape == (120, 2)
        assert [call.index for call in results.sel(x=LONG[2])] == [4, 5]


@pytest.fixture(scope="module")
def cube(tmp_path_factory, tools):
    grid = Grid(("a", "b", "c"), ([1, 2, 3], ["x", "y"], np.linspace(0, 1, 5)))
    folder = write(
        tmp_path_factory.mktemp("cube"), tools, grid, StorageOptions(slots=Slots((None, 2)))
    )
    with acme_io.open_results(folder) as results:
        yield results


def chosen(axis, data):
    """Draw a label of an axis, with the positions that it selects and whether it keeps the axis."""
    values = list(axis)
    positions = st.integers(0, len(values) - 1)
    kind = data.draw(st.sampled_from(["all", "one", "several", "slice"]))
    if kind == "one":
        at = data.draw(positions)
        return values[at], [at], False
    if kind == "several":
        ats = data.draw(st.lists(positions, min_size=1, max_size=4))
        return [values[at] for at in ats], ats, True
    if kind == "slice":
        a, b = data.draw(positions), data.draw(positions)
        return slice(values[a], values[b]), list(range(a, b + 1)), True
    return None, list(range(len(values))), True


@given(data=st.data())
def test_selection_by_value_is_that_of_an_array(cube, data) -> None:
    labels, places, kept = {}, [], []
    for name, axis in zip(cube.grid.names, cube.grid.values, strict=True):
        label, at, keeps = chosen(axis, data)
        places.append(at)
        if label is not None:
            labels[name] = label
        if keeps:
            kept.append(name)
    numbers = np.arange(30).reshape(3, 2, 5)[np.ix_(*places)]
    some = cube.sel(**labels)
    assert [call.index for call in some] == numbers.ravel().tolist()
    assert some.grid.names == tuple(kept)
    shape = tuple(len(at) for name, at in zip("abc", places, strict=True) if name in kept)
    assert some.grid.shape == shape
    if numbers.size:
        np.testing.assert_array_equal(some.stack()[..., 0], numbers.reshape(shape))
        assert all(call.arguments["b"] in ("x", "y") for call in some)


def test_a_selection_of_a_selection_by_value(cube) -> None:
    some = cube.sel(b="y", c=slice(0.2, 0.6)).sel(a=[3, 1])
    assert [(call.arguments["a"], float(call.arguments["c"]["value"])) for call in some] == [
        (3, 0.25),
        (3, 0.5),
        (1, 0.25),
        (1, 0.5),
    ]
    assert some.grid == Grid(("a", "c"), ([3, 1], [0.25, 0.5]))
    assert some.sel(a=1, c=0.5).stack().shape == (2,)


@pytest.mark.parametrize(
    "labels", [{"a": 4}, {"a": "1"}, {"b": "z"}, {"c": 0.26}, {"a": [1, 5]}, {"b": 1}]
)
def test_unknown_values_are_key_errors(cube, labels) -> None:
    with pytest.raises(KeyError, match=r"is never .*; its values are"):
        cube.sel(**labels)


def test_unknown_names_are_key_errors(cube) -> None:
    with pytest.raises(KeyError, match="'d' is no axis of the grid, which has a, b, c"):
        cube.sel(d=1)
    with pytest.raises(ValueError, match="no step"):
        cube.sel(a=slice(1, 3, 1))


def test_numbers_are_equal_up_to_rounding(tmp_path, tools) -> None:
    single = np.array([0.1, 0.2], "f4")
    dates = np.array(["2026-01-01", "2026-01-02"], "M8[D]")
    grid = Grid(("x", "f", "day"), ([0.1 + 0.2, math.inf, math.nan], single, dates))
    with acme_io.open_results(write(tmp_path, tools, grid, StorageOptions())) as results:
        assert results.grid.shape == (3, 2, 2)
        assert len(results.sel(x=0.3, f=0.2, day="2026-01-02")) == 1
        assert len(results.sel(x=math.inf)) == len(results.sel(x=math.nan)) == 4
        with pytest.raises(KeyError):
            results.sel(f=0.2001)
        with pytest.raises(KeyError):
            results.sel(f=10**400)


def test_equal_values_on_an_axis_are_all_selected(tmp_path, tools) -> None:
    grid = Grid(("a", "b"), ([1, 1, 2], [5, 6]))
    with acme_io.open_results(write(tmp_path, tools, grid, StorageOptions())) as results:
        assert [call.index for call in results.sel(a=1, b=6)] == [1, 3]
        assert results.sel(a=1, b=6).grid == Grid(("a",), ([1, 1],))


def test_distributed_arguments_select_without_a_grid(run) -> None:
    done = run(lambda call: call, 6)
    with acme_io.open_results(done.output_dir) as results:
        assert results.grid is None
        assert [call.index for call in results.sel(x=3)] == [3]
        assert [call.index for call in results.sel(x=slice(2, 4))] == [2, 3, 4]
        assert [call.index for call in results[2:].sel(x=[5, 2])] == [2, 5]
        with pytest.raises(KeyError, match="'x' is never 7; its values are 0, 1, 2"):
            results.sel(x=7)
        with pytest.raises(KeyError, match="'y' is no distributed argument; these are x"):
            results.sel(y=1)


def test_a_grid_of_another_size_is_no_grid(tmp_path, tools) -> None:
    store = RunStore.create(
        tmp_path, "f", StorageOptions(), tools.new_run(5, grid=GRIDS["one axis"])
    )
    receipt = tools.write_batch(store, float, range(5))
    store.accept(receipt)
    tools.finish(store, [receipt])
    store.close()
    with acme_io.open_results(tmp_path) as results:
        assert results.grid is None
        assert results.stack().shape == (5,)
