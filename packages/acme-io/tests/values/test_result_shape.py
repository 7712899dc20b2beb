import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from acme_io import Slots
from acme_io.errors import ResultDtypeError, ResultShapeError


@pytest.mark.parametrize(
    "shape", [(3,), (None, None), (None, -1), (None, 2.5), (np.inf, None, np.inf)]
)
def test_a_wrong_shape_is_a_value_error(shape: object) -> None:
    with pytest.raises(ValueError, match="result_shape"):
        Slots(shape)


@pytest.mark.parametrize("shape", ["(None, 3)", 3, None, {None: 3}, (None, "3"), (None, True)])
def test_a_shape_of_the_wrong_type_is_a_type_error(shape: object) -> None:
    with pytest.raises(TypeError, match="result_shape"):
        Slots(shape)


@pytest.mark.parametrize("dtype", ["flaot", None, object, "U5", [("a", "f8")], 3])
def test_a_bad_dtype_is_a_type_error(dtype: object) -> None:
    with pytest.raises(TypeError, match="result_dtype"):
        Slots((None, 3), dtype)


def test_axes() -> None:
    slots = Slots((4, None, np.inf), "float32")
    assert (slots.stacking_axis, slots.varying_axis) == (1, 2)
    assert slots.slot_shape == (4, np.inf)
    assert slots.full_shape(10, 7) == (4, 10, 7)
    assert Slots([None]).varying_axis is None


@pytest.mark.parametrize(
    ("shape", "value", "expected"),
    [
        ((None,), 3, ()),
        ((None,), [3], ()),
        ((None,), np.ones((1,)), ()),
        ((None, 1), 3, (1,)),
        ((None, 3), [1, 2, 3], (3,)),
        ((None, 3), np.ones((1, 3)), (3,)),
        ((3, None), np.ones((3, 1)), (3,)),
        ((3, None), np.ones(3), (3,)),
        ((None, np.inf), np.ones(5), (5,)),
        ((None, np.inf), np.ones(0), (0,)),
        ((None, np.inf), 3.0, (1,)),
        ((np.inf, None, 2), np.ones((4, 2)), (4, 2)),
    ],
)
def test_a_value_of_a_fitting_shape(shape: tuple, value: object, expected: tuple[int, ...]) -> None:
    row = Slots(shape).fit(value)
    assert row.shape == expected
    assert row.dtype == np.float64


@pytest.mark.parametrize(
    ("shape", "value"),
    [
        ((None, 3), np.ones(2)),
        ((None, 3), np.ones(4)),
        ((None, 3), np.ones((3, 1))),
        ((None, 3), np.ones((2, 3))),
        ((None, 3), 1.0),
        ((None,), np.ones(2)),
        ((None, 2, 2), np.ones(4)),
        ((None, 3), [[1, 2], [3]]),
        ((None, np.inf), np.ones((2, 2))),
    ],
)
def test_an_error_names_both_shapes(shape: tuple, value: object) -> None:
    with pytest.raises(ResultShapeError) as caught:
        Slots(shape).fit(value)
    assert str(shape) in str(caught.value)
    if not isinstance(value, list):
        assert str(np.shape(value)) in str(caught.value)


@pytest.mark.parametrize(
    ("dtype", "value"),
    [("float", 1j), ("int", 1.0), ("float", "a"), ("float", {}), ("bool", 1), ("uint8", -1)],
)
def test_a_value_of_another_kind_is_refused(dtype: str, value: object) -> None:
    with pytest.raises(ResultDtypeError, match="result_dtype"):
        Slots((None,), dtype).fit(value)


@pytest.mark.parametrize(
    ("dtype", "value"), [("int8", np.int64(300)), ("float32", 1e300), ("complex64", 1e300 + 0j)]
)
def test_numbers_beyond_the_range_are_refused_not_wrapped(dtype: str, value: object) -> None:
    with pytest.raises(ResultDtypeError, match="range"):
        Slots((None,), dtype).fit(value)


def test_a_mask_is_not_dropped() -> None:
    with pytest.raises(ResultDtypeError, match="mask"):
        Slots((None, 3)).fit(np.ma.masked_equal([1.0, 2.0, 3.0], 2))


def test_tuples_are_split() -> None:
    assert Slots((None,)).split((1, 2, "a")) == (1, (2, "a"))
    assert Slots((None, 3)).split((1, 2, 3)) == ((1, 2, 3), ())
    assert Slots((None, 2)).split((1, 2, 3)) == (1, (2, 3))
    assert Slots((None, 2)).split([1, 2]) == ([1, 2], ())
    first, others = Slots((None, 2)).split((np.ones(2), np.zeros(2)))
    np.testing.assert_array_equal(first, np.ones(2))
    assert len(others) == 1


def test_missing_and_shorter_rows_hold_the_fill_value() -> None:
    stacked, lengths = Slots((None, np.inf)).stack([np.array([1.0, 2.0]), None, np.array([3.0])])
    np.testing.assert_array_equal(stacked, [[1, 2], [np.nan, np.nan], [3, np.nan]])
    assert lengths is not None
    assert lengths.tolist() == [2, 0, 1]


@given(
    st.sampled_from(["float64", "float32", "complex128", "int16", "bool", "M8[ms]"]),
    st.integers(1, 6),
    st.integers(0, 3),
    st.data(),
)
def test_stacking_is_what_numpy_stack_does(
    dtype: str, n_calls: int, ndim: int, data: st.DataObject
) -> None:
    slot = data.draw(st.tuples(*[st.integers(0, 3)] * ndim))
    axis = data.draw(st.integers(0, ndim))
    rows = [data.draw(hnp.arrays(dtype, slot)) for _ in range(n_calls)]
    slots = Slots((*slot[:axis], None, *slot[axis:]), dtype)
    stacked, lengths = slots.stack([slots.fit(row) for row in rows])
    np.testing.assert_array_equal(stacked, np.stack(rows, axis=axis))
    assert lengths is None
    assert stacked.dtype == np.dtype(dtype)
