"""Decoding restores every value exactly, with its type and dtype."""

import collections
import fractions
import json
import pickle
import string

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import acme_io
from acme_io import StorageOptions
from acme_io.errors import NotStorableError
from acme_io.values.encoding import decode, encode

WAYS = {
    "links": StorageOptions(),
    "single": StorageOptions(single_file=True),
    "pickles": StorageOptions(pickle=True),
}

STORED = [
    1,
    -(2**63),
    2**64 - 1,
    True,
    2.5,
    float("nan"),
    float("-inf"),
    1 + 2j,
    "text",
    "",
    "Größe ∑ 🎧",
    "a\0b",
    "ends in NUL\0",
    "lone \ud800 surrogate",
    b"bytes",
    b"",
    b"\0\1\0",
    None,
    np.float32(1.5),
    np.float16(1.5),
    np.longdouble(1) / 3,
    np.int8(-3),
    np.uint64(2**64 - 1),
    np.bool_(True),
    np.complex64(1 - 1j),
    np.str_("text"),
    np.bytes_(b"text"),
    np.datetime64("2020-02-29T12:00", "ns"),
    np.datetime64("NaT", "s"),
    np.timedelta64(5, "h"),
    np.arange(6).reshape(2, 3),
    np.array(3.0),
    np.array("text"),
    np.array(["a", "bcd", ""]),
    np.array(["ü∑"], dtype=">U7"),
    np.array([b"a", b""]),
    np.zeros((0, 3)),
    np.zeros((2, 0), dtype="U3"),
    np.array([], dtype="S4"),
    np.arange(12.0)[::3],
    np.arange(12.0).reshape(3, 4).T,
    np.array([1, 2], dtype=">i4"),
    np.array([1, 2], dtype=">M8[25s]"),
    np.array([True, False]),
    np.array([1 + 2j]),
    np.array([(1, 2.5, b"x")], dtype=[("a", "i4"), ("b", "f8"), ("c", "S3")]),
    np.array([(1, 2.5)], dtype=np.dtype([("a", "i1"), ("b", "f8")], align=True)),
    np.array([(1, [1, 2])], dtype=[("a", "?"), ("b", "f4", (2,))])[0],
    np.array([b"abc"], dtype="V3"),
    [1, 2, 3],
    [1, 2.5, True, 1j],
    [2**60 + 1, 0.5],
    ["a", "", "ü"],
    ["ends in NUL\0"],
    [[1, 2], [3, 4]],
    [[1], [2, 3]],
    [(1, 2), (3, 4)],
    [],
    [[], []],
    [np.ones(3), np.zeros(3)],
    [np.ones(3), np.zeros(2)],
    [np.float32(1), np.float32(2)],
    [np.datetime64("2020-01-01"), np.datetime64("2021-01-01")],
    [1, "a", None],
    (1, 2.0, "a"),
    (),
    (np.ones(2), [1, 2], None, b"\0"),
    ([1, 2.5], np.str_("a")),
    ((1, 2), 3),
    ([1, "a"], [[1], [2, 3]]),
    [np.ones(3), {"a": 1}],
]

PICKLED = [
    2**64,
    (1, 2**70),
    {1: "a"},
    {1, 2},
    np.array([None, "a"], dtype=object),
    np.array([("ü",)], dtype=[("a", "U3")]),
    [np.ones(3), {1: "a"}],
    {"a": {"b": {1, 2}}},
    collections.OrderedDict(a=1),
]


@pytest.mark.parametrize("way", WAYS)
def test_values_are_read_as_they_were_returned(run, tools, way: str) -> None:
    values = STORED + PICKLED
    done = run(lambda call: values[call], len(values), WAYS[way], batch=7)
    assert not done.errors
    with acme_io.open_results(done.output_dir, allow_pickle=True) as results:
        for call, value in zip(results, values, strict=True):
            # NumPy's own pickles forget the byte order of dates.
            expected_value = pickle.loads(pickle.dumps(value, 5)) if way == "pickles" else value
            assert tools.same(call.values, expected_value), (call, value, call.values)
            expected = "pickled" if call.index >= len(STORED) and way != "pickles" else "done"
            assert call.status == expected, value
    assert sorted(done.notes) == ([] if way == "pickles" else list(range(len(STORED), len(values))))


def test_a_named_tuple_keeps_its_names(run) -> None:
    Pair = collections.namedtuple("Pair", "mean spread")
    done = run(lambda call: Pair(1.5, np.ones(3)), 1)
    with acme_io.open_results(done.output_dir) as results:
        pair = results[0].values
    assert pair.mean == 1.5
    assert pair._fields == ("mean", "spread")
    assert type(pair).__name__ == "Pair"


def test_objects_of_other_libraries_are_pickled(run) -> None:
    table = fractions.Fraction(1, 3)
    done = run(lambda call: table, 1)
    with acme_io.open_results(done.output_dir, allow_pickle=True) as results:
        assert results[0].status == "pickled"
        assert results[0].values == table


def test_plain_h5py_reads_results(run) -> None:
    values = [18, "text", (1, np.ones((2, 3)), "b"), None, b"raw", np.datetime64("1970-01-02")]
    done = run(lambda call: values[call], len(values))
    with h5py.File(done.container, "r") as file:
        assert file["comp_0"]["result_0"][()].tolist() == [18]
        assert file["comp_1/result_0"].asstr()[()].tolist() == ["text"]
        assert list(file["comp_2"]) == ["result_0", "result_1", "result_2"]
        assert file["comp_2/result_0"].shape == ()
        assert file["comp_2/result_1"].dtype == np.float64
        assert file["comp_3/result_0"].shape is None
        assert file["comp_5/result_0"][()].tolist() == [1]


dtypes = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="?"),
    hnp.unsigned_integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
    hnp.complex_number_dtypes(endianness="?", sizes=(64, 128)),
    hnp.datetime64_dtypes(endianness="?"),
    hnp.timedelta64_dtypes(endianness="?"),
    hnp.byte_string_dtypes(max_len=5),
    hnp.unicode_string_dtypes(endianness="?", max_len=5),
)
plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.complex_numbers(),
    st.text(),
    st.text(st.characters(exclude_categories=())),
    st.binary(),
)
arrays = dtypes.flatmap(
    lambda dtype: hnp.arrays(
        dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
    )
)
single_values = st.one_of(plain, arrays, arrays.map(lambda a: a.T), st.lists(plain, max_size=4))
returned = st.one_of(
    single_values,
    st.tuples(single_values, single_values),
    st.lists(st.lists(st.floats(), min_size=2, max_size=2), max_size=3),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5),
    st.lists(st.text(string.printable), max_size=5),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=returned)
def test_encoding_loses_nothing(tools, value: object) -> None:
    try:
        encoded, form = encode(value)
    except NotStorableError:
        return  # such values are pickled; the test below writes them
    form = json.loads(json.dumps(form))
    assert tools.same(decode([one.array for one in encoded], form), value)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)
@given(values=st.lists(returned, min_size=1, max_size=8), way=st.sampled_from(["links", "single"]))
def test_files_lose_nothing(tmp_path_factory, tools, values: list[object], way: str) -> None:
    folder = tmp_path_factory.mktemp("run")
    done = tools.run(folder / "out", lambda call: values[call], len(values), WAYS[way], batch=3)
    assert not done.errors
    with acme_io.open_results(done.output_dir, allow_pickle=True) as results:
        for call, value in zip(results, values, strict=True):
            assert tools.same(call.values, value)
