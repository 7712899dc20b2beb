"""Plain values are recognised by their types, and copied as a pickle would copy them."""

import pickle
from collections import OrderedDict, namedtuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme_core.transport.plain_values import are_plain, as_array, flat_copier, numpy_scalar_type

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
arrays = st.lists(st.integers(-9, 9), max_size=5).map(np.array)
hashable = st.recursive(scalars, lambda inner: st.tuples(inner, inner), max_leaves=4)
trees = st.recursive(
    scalars | arrays | st.frozensets(hashable),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(hashable, inner, max_size=4)
        | st.sets(hashable, max_size=4)
    ),
    max_leaves=8,
)


def mutable_parts(value):
    """Return the identities of all objects within a value that can be changed, in order."""
    inner = list(value) if isinstance(value, list | tuple | set | frozenset) else []
    if isinstance(value, dict):
        inner = [*value, *value.values()]
    found = [part for item in inner for part in mutable_parts(item)]
    return [id(value), *found] if isinstance(value, list | dict | set | np.ndarray) else found


@given(st.lists(trees, max_size=6), st.data())
def test_values_without_a_mutable_object_twice_are_plain(values, data):
    parts = mutable_parts(values)
    assert are_plain(values) == (len(set(parts)) == len(parts))
    if values:
        again = [*values, data.draw(st.sampled_from(values))]
        assert are_plain(again) == (are_plain(values) and not mutable_parts(again[-1]))


class Numbers(list):
    pass


def endless():
    numbers = [1]
    numbers.append(numbers)
    return numbers


def bushy():
    value = ()
    for _ in range(60):
        value = (value,) * 60
    return value


@pytest.mark.parametrize(
    "value",
    [
        Numbers([1]),
        OrderedDict(a=1),
        namedtuple("Point", "x y")(1, 2),
        np.array([[], None], object),
        np.zeros(10_000),
        np.ma.array([1, 2]),
        np.void(b"abc"),
        bytearray(b"a"),
        print,
        endless(),
        bushy(),
        {1: {2: endless()}},
    ],
)
@pytest.mark.parametrize("inside", [lambda v: v, lambda v: [1, v], lambda v: {"a": (v, "b")}])
def test_all_other_values_are_not_plain(value, inside):
    assert not are_plain([inside(value), 1])


FLAT = [
    [1, "a", None],
    {"a": 1.5, 2: np.float32(3)},
    {1, "b"},
    np.arange(6.0).reshape(2, 3),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.array(1.5),
    np.array(["2000-01-01"], "M8[D]"),
    np.zeros(2, [("a", "<i4"), ("b", "S3")]),
]


@pytest.mark.parametrize("value", FLAT)
def test_copies_are_what_unpickling_returns(value):
    copier = flat_copier(value)
    copy, expected = copier(value), pickle.loads(pickle.dumps(value))
    assert copy is not value
    assert type(copy) is type(expected)
    assert repr(copy) == repr(expected)
    if isinstance(value, np.ndarray):
        assert not np.shares_memory(copy, value)
        assert (copy.dtype, copy.shape, copy.strides) == (
            expected.dtype,
            expected.shape,
            expected.strides,
        )
        assert copy.flags.writeable


def read_only():
    array = np.zeros(3)
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    "value",
    [
        *([[]], {"a": []}, {"a": ([],)}, Numbers(), 1),
        *(read_only(), np.zeros((0, 3)), np.array([None, 1], object)),
    ],
)
def test_values_with_more_to_them_are_not_copied(value):
    assert flat_copier(value) is None


@pytest.mark.parametrize(
    "name",
    [
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64", "complex64", "complex128"),
    ],
)
@given(content=st.binary(min_size=64, max_size=64))
def test_numpy_scalars_are_the_same_as_an_array(name, content):
    values = list(np.frombuffer(bytes(b % 2 for b in content) if name == "bool" else content, name))
    column = pickle.loads(pickle.dumps(as_array(values)))
    assert isinstance(column, np.ndarray)
    assert [type(item) for item in column] == [type(item) for item in values]
    assert [item.tobytes() for item in column] == [item.tobytes() for item in values]


@pytest.mark.parametrize(
    "values", [[], [1, 2], [np.float64(1), 2.0], [np.float64(1), np.float32(1)], [np.str_("a")]]
)
def test_other_values_are_no_array(values):
    assert numpy_scalar_type(values) is None
    assert as_array(values) is values
