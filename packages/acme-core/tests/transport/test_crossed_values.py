"""The values of crossed arguments travel once per batch, and arrive new for each call."""

import itertools
import os
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme_core.arguments.grid import AxisItems
from acme_core.transport.crossed_values import CrossedArrays
from acme_core.transport.large_objects import LargeObjects

VALUES = st.one_of(
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=3),
    st.booleans().map(np.bool_),
    st.integers(-9, 9).map(np.int16),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
    st.tuples(st.integers(), st.lists(st.integers(), max_size=2)),
)


@pytest.fixture
def files():
    files = LargeObjects(None)
    yield files
    files.close()


def arrived(column):
    return pickle.loads(pickle.dumps(column))


@given(st.lists(VALUES, min_size=1, max_size=4), st.integers(1, 4), st.data())
def test_items_arrive_as_they_are(axis, stride, data):
    start = data.draw(st.integers(0, 40))
    stop = data.draw(st.integers(start + 1, 60))
    expected = [axis[call // stride % len(axis)] for call in range(start, stop)]
    column = CrossedArrays(LargeObjects(None), 240).freeze(
        0, AxisItems.cut(axis, stride, start, stop)
    )
    first = data.draw(st.integers(0, stop - start))
    last = data.draw(st.integers(first, stop - start))
    for part, wanted in ((column, expected), (column[first:last], expected[first:last])):
        got = list(arrived(part))
        assert got == wanted
        assert list(map(type, got)) == list(map(type, wanted))
        assert len(arrived(part)) == len(wanted)
        mutable = [id(item) for item in got if type(item) in (list, dict)]
        assert len(set(mutable)) == len(mutable)


def test_what_a_call_changes_no_other_call_sees(files):
    axis = [[0], {"a": 1}, np.zeros(3)]
    column = arrived(CrossedArrays(files, 18).freeze(0, AxisItems.cut(axis, 2, 0, 18)))
    for item in column:
        assert repr(item) in map(repr, axis)
        if isinstance(item, list):
            item.append(1)
        elif isinstance(item, dict):
            item.clear()
        else:
            item += 1


class Trouble:
    """A value that cannot be unpickled."""

    def __reduce__(self):
        return next, (iter(()),)


@pytest.mark.parametrize("stride", [1, 3])
def test_a_value_that_cannot_be_unpickled_does_not_move_the_others(files, stride):
    axis = [1, Trouble(), [3]]
    column = arrived(CrossedArrays(files, 18).freeze(0, AxisItems.cut(axis, stride, 0, 18)))
    got, done = [], 0
    while done < len(column):
        try:
            for item in column[done:]:
                got.append(item)
        except RuntimeError:
            got.append("trouble")
        done = len(got)
    expected = [1, "trouble", [3]]
    assert got == [expected[call // stride % 3] for call in range(18)]


def test_what_cannot_be_pickled_fails_its_call(files):
    column = CrossedArrays(files, 4).freeze(0, AxisItems.cut([(i for i in ()), 2], 1, 0, 4))
    items = iter(arrived(column))
    with pytest.raises(TypeError, match="cannot be sent to a worker"):
        next(items)
    assert next(iter(arrived(column[1:]))) == 2


def test_large_arrays_are_written_once_and_removed_after_their_last_call(files):
    axis = [np.full(200_000, float(i)) for i in range(3)]
    arrays = CrossedArrays(files, 12)
    seen = set()
    for start in range(0, 12, 4):
        column = arrays.freeze(0, AxisItems.cut(axis, 2, start, start + 4))
        # The first batch writes two arrays, the second one the third, the last one none.
        assert (column.nbytes > 3_000_000) == (start == 0)
        assert (column.nbytes > 1_000_000) == (start <= 4)
        got = list(arrived(column))
        assert [item[0] for item in got] == [call // 2 % 3 for call in range(start, start + 4)]
        paths = [path for _, path in column.paths]
        assert [index for index, _ in column.paths] == [0, 1, 2, 3]
        seen |= set(paths)
        assert len(seen) <= 3
        del got
        for path in paths:
            assert os.path.exists(path)
            arrays.release(path)
    assert not any(map(os.path.exists, seen))


def test_a_batch_of_a_million_calls_is_small(files):
    axis = list(range(10))
    arrays = CrossedArrays(files, 10**6)
    for stride in (1, 10**5):
        column = arrays.freeze(0, AxisItems.cut(axis, stride, 0, 10**6))
        assert len(pickle.dumps(column)) < 1000
        assert column.nbytes < 1000
        assert sum(itertools.islice(column, 10**6)) == 4_500_000
