"""Crossed arguments: the calls are all combinations, in the order of itertools.product."""

import itertools
import math

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme_core import cross, each, shared
from acme_core.arguments.distribution import distribute


def f(*args, **kwargs):
    return args, kwargs


def combinations(plan, start=0, stop=None):
    """Return the items of some calls, one tuple each."""
    return list(zip(*plan.columns(start, plan.n_calls if stop is None else stop), strict=True))


AXIS = st.one_of(
    st.lists(st.integers(), min_size=1, max_size=5),
    st.lists(st.text(max_size=3), min_size=1, max_size=5),
    st.lists(st.lists(st.integers(), max_size=2), min_size=1, max_size=5),
    st.integers(1, 6).map(range),
    st.integers(1, 6).map(lambda n: tuple(range(n))),
    st.integers(1, 6).map(lambda n: np.linspace(0, 1, n)),
)
AXES = st.lists(AXIS, min_size=1, max_size=5)


@given(AXES, st.data())
def test_calls_are_the_product(axes, data):
    n_keywords = data.draw(st.integers(0, len(axes)))
    split = len(axes) - n_keywords
    keywords = {f"k{i}": cross(axis) for i, axis in enumerate(axes[split:])}
    plan = distribute(f, tuple(map(cross, axes[:split])), keywords)
    expected = list(itertools.product(*axes))
    assert plan.n_calls == len(expected)
    assert combinations(plan) == expected
    start = data.draw(st.integers(0, plan.n_calls))
    stop = data.draw(st.integers(start, plan.n_calls))
    assert combinations(plan, start, stop) == expected[start:stop]
    if stop > start:
        # A part carries what its calls need, in batches cut from batches as well.
        first = data.draw(st.integers(0, stop - start))
        last = data.draw(st.integers(first, stop - start))
        parts = [column[first:last] for column in plan.columns(start, stop)]
        assert list(zip(*parts, strict=True)) == expected[start:stop][first:last]
        assert [column[-1] for column in plan.columns(start, stop)] == list(expected[stop - 1])
        for part in parts:
            assert len(part) == last - first
            assert len(part.values) <= max(1, math.ceil((last - first) / part.stride) + 1)


def test_a_batch_carries_only_the_values_of_its_calls():
    plan = distribute(f, (cross(range(1000)), cross(range(1000))), {})
    outer, inner = plan.columns(5_500, 5_600)
    assert (list(outer.values), list(inner.values)) == ([5], list(range(500, 600)))
    outer, inner = plan.columns(5_990, 6_010)
    assert (list(outer.values), len(inner.values)) == ([5, 6], 20)


def test_calls_beyond_any_list():
    plan = distribute(f, (cross(range(10**6)),) * 3, {})
    assert plan.n_calls == 10**18
    assert combinations(plan, 10**18 - 1, 10**18) == [(10**6 - 1,) * 3]


def test_rows_of_arrays_and_datasets_are_values(tmp_path):
    rows = np.arange(6).reshape(3, 2)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = rows
    with h5py.File(tmp_path / "a.h5", "r") as file:
        for axis in (rows, file["x"]):
            got = combinations(distribute(f, (cross(axis), cross("ab")), {}))
            assert [(row.tolist(), text) for row, text in got] == list(
                itertools.product(rows.tolist(), "ab")
            )


def test_generator_is_read_at_once():
    assert combinations(distribute(f, (cross(i * i for i in range(3)), cross([1])), {})) == [
        (0, 1),
        (1, 1),
        (4, 1),
    ]


def test_arguments_count_as_they_are_passed():
    def g(x, y, z=3):
        return x, y, z

    plan = distribute(g, (), {"y": cross([1, 2]), "z": 4, "x": cross([5, 6])})
    assert plan.template.distributed_names == ["y", "x"]
    assert list(plan.grid.items()) == [("y", [1, 2]), ("x", [5, 6])]
    assert combinations(plan) == [(1, 5), (1, 6), (2, 5), (2, 6)]


def test_other_arguments_are_shared():
    plan = distribute(f, (cross([1, 2]), [7, 8], shared([9])), {"k": np.arange(2)})
    assert plan.n_calls == 2
    assert plan.template.shared[1] == [7, 8]
    assert plan.template.shared[2] == [9]
    assert plan.template.shared["k"].tolist() == [0, 1]


def test_without_cross_the_grid_is_empty():
    assert distribute(f, ([1, 2],), {}).grid == {}


def test_together_with_each():
    with pytest.raises(ValueError, match=r"`x` is marked by each.*`y` by cross") as caught:
        distribute(lambda x, y: 0, (each([1, 2]), cross([1, 2])), {})
    assert "cross(list(zip(a, b)))" in str(caught.value)


@pytest.mark.parametrize("n", [6, 6.0, np.int64(6)])
def test_n_inputs_that_matches(n):
    assert distribute(f, (cross([1, 2, 3]), cross([10, 20])), {}, n).n_calls == 6


@pytest.mark.parametrize("n", [1, 3, 5])
def test_n_inputs_that_does_not_match(n):
    with pytest.raises(ValueError, match=rf"n_inputs is {n}.*6 combinations: `a` \(3\), `b` \(2\)"):
        distribute(lambda a, b: 0, (cross([1, 2, 3]), cross([10, 20])), {}, n)


@pytest.mark.parametrize("empty", [[], np.zeros((0, 3)), iter(())])
def test_no_values(empty):
    with pytest.raises(ValueError, match=r"`b`, marked by cross.*empty"):
        distribute(lambda a, b: 0, (cross([1, 2]), cross(empty)), {})


@pytest.mark.parametrize("value", [3, None, np.array(3)])
def test_needs_an_iterable(value):
    with pytest.raises(TypeError, match=r"cross\(\.\.\.\) needs an iterable"):
        cross(value)


@pytest.mark.parametrize("marked", [each([1]), cross([1]), shared([1])])
@pytest.mark.parametrize("mark", [each, cross, shared])
def test_marked_twice(mark, marked):
    with pytest.raises(TypeError, match="already marked"):
        mark(marked)


def test_task_id_is_no_axis():
    plan = distribute(lambda x, taskID: 0, (cross([1, 2]), cross([5, 6])), {})
    assert (plan.n_calls, list(plan.grid)) == (2, ["x"])
    assert "taskID" in plan.warnings[0]
