"""Series, Index and DataFrame as arguments."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme_core import cross, each
from acme_core.arguments.distribution import distribute


def f(x, y, z=3):
    return (x + y) * z


def items(plan, start=0, stop=None):
    return list(plan.columns(start, plan.n_calls if stop is None else stop)[0])


def same(got, expected):
    """Whether items are equal and of equal types; missing values equal each other."""
    assert list(map(type, got)) == list(map(type, expected))
    assert list(map(repr, got)) == list(map(repr, expected))


VALUES = [
    [2, 4, 6],
    [1.5, float("nan"), 2.0],
    ["a", None, "c"],
    [True, False, True],
    pd.date_range("2020-01-01", periods=3, tz="Europe/Berlin"),
    pd.to_timedelta([1, 2, 3], unit="s"),
    pd.Categorical(["b", "a", "b"]),
    pd.array([1, None, 3], dtype="Int64"),
    [[1], {"a": 2}, (3,)],
    np.array([1, 2, 3], np.int16),
]


@pytest.mark.parametrize("values", VALUES, ids=str)
def test_series_is_distributed_as_its_list(values):
    # Labels that are numbers in another order must not decide which item goes where.
    series = pd.Series(values, index=[2, 0, 1])
    plan = distribute(f, (series, 4), {})
    assert plan.n_calls == 3
    same(items(plan), list(series))
    same(items(plan, 1, 2), list(series)[1:2])
    same(items(distribute(f, (each(series), 4), {})), list(series))
    same(items(distribute(f, (cross(series), 4), {}), 1, 3), list(series)[1:])


@pytest.mark.parametrize(
    "index",
    [
        pd.Index([3, 1, 2]),
        pd.RangeIndex(3),
        pd.Index(list("abc"), name="letters"),
        pd.MultiIndex.from_tuples([(1, "a"), (1, "b"), (2, "a")]),
        pd.date_range("2020-01-01", periods=3),
    ],
    ids=lambda index: type(index).__name__,
)
def test_index_is_distributed_as_its_list(index):
    same(items(distribute(f, (index, 4), {})), list(index))
    same(items(distribute(f, (each(index), 4), {}), 1, 3), list(index)[1:])
    same(items(distribute(f, (cross(index), 4), {})), list(index))


def test_series_counts_as_other_candidates():
    with pytest.raises(ValueError, match=r"found 2 objects containing 3 to 4 elements"):
        distribute(f, (pd.Series([1, 2, 3]), [1, 2, 3, 4]), {})
    plan = distribute(f, (pd.Series([1, 2, 3]), [1, 2, 3, 4]), {}, 3)
    assert plan.template.distributed_names == ["x"]


@pytest.mark.parametrize("default", [np.zeros(2), pd.Series([1, 2])], ids=["array", "Series"])
@pytest.mark.parametrize("value", [np.zeros(3), pd.Series([1, 2, 3])], ids=["array", "Series"])
def test_series_for_an_array_is_shared(default, value):
    def g(x, weights=default):
        return x

    plan = distribute(g, ([1, 2, 3],), {"weights": value})
    assert plan.template.distributed_names == ["x"]


FRAMES = [
    pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", None]}),
    pd.DataFrame({"a": [1, 2, 3], "b": [1.5, 2, np.nan]}, index=list("uvw")),
    pd.DataFrame({"two words": [1], "class": [2], 3: [4], "_x": [5]}),
    pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"]),
    pd.DataFrame(
        {"t": pd.date_range("2020", periods=2, tz="UTC"), "c": pd.Categorical(["b", "a"])}
    ),
    pd.DataFrame(np.arange(6).reshape(2, 3), index=pd.MultiIndex.from_product([[1], ["a", "b"]])),
    pd.DataFrame(index=[1, 2]),
    pd.DataFrame({("a", "b"): [1], ("a", "c"): [2]}),
]


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: str(list(frame.columns)))
def test_each_of_a_frame_gives_its_rows(frame):
    rows = list(frame.itertuples())
    plan = distribute(lambda row: row, (each(frame),), {})
    assert plan.n_calls == len(rows)
    for got in (items(plan), [plan.columns(i, i + 1)[0][0] for i in range(len(rows))]):
        assert list(map(repr, got)) == list(map(repr, rows))
        for row, expected in zip(got, rows, strict=True):
            assert row._fields == expected._fields
            assert list(map(type, row)) == list(map(type, expected))
            assert type(row).__name__ == "Pandas"
            assert type(row).__module__ == type(expected).__module__
    crossed = items(distribute(lambda row: row, (cross(frame),), {}))
    assert list(map(repr, crossed)) == list(map(repr, rows))


@given(
    st.lists(st.tuples(st.integers(-9, 9), st.text(max_size=2)), min_size=1, max_size=9),
    st.data(),
)
def test_batches_of_rows(rows, data):
    frame = pd.DataFrame(rows, columns=["a", "b"])
    plan = distribute(lambda row: row, (each(frame),), {})
    start = data.draw(st.integers(0, len(rows)))
    stop = data.draw(st.integers(start, len(rows)))
    (part,) = plan.columns(start, stop)
    assert list(part) == list(frame.itertuples())[start:stop]
    assert list(part[1:]) == list(frame.itertuples())[start:stop][1:]


def test_empty():
    with pytest.raises(ValueError, match=r"`x`.*empty"):
        distribute(f, (pd.Series([]), 4), {})
    with pytest.raises(ValueError, match=r"`row`.*empty"):
        distribute(lambda row: row, (each(pd.DataFrame({"a": []})),), {})


def test_frame_is_shared_by_default():
    frame = pd.DataFrame({"a": [1, 2, 3]})
    plan = distribute(f, ([1, 2, 3], frame), {})
    assert plan.template.shared[1] is frame
