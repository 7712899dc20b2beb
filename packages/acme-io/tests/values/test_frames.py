"""pandas objects are groups that plain h5py reads, and come back exactly."""

import datetime
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import acme_io
from acme_io import Slots, StorageOptions
from acme_io.errors import NotStorableError
from acme_io.hdf5.members import fields_of
from acme_io.tools.merge import merge
from acme_io.tools.verify import verify
from acme_io.values.encoding import decode, encode

WAYS = {
    "links": StorageOptions(),
    "single": StorageOptions(single_file=True),
    "stacked": StorageOptions(slots=Slots((None, 3))),
    "stacked-single": StorageOptions(slots=Slots((None, 3)), single_file=True),
}

BERLIN = "Europe/Berlin"
PRODUCT = pd.MultiIndex.from_product(
    [["a", "b"], [1, 2], pd.date_range("2020", periods=2)], names=["x", 3, ("t", 1)]
)


def labelled(frame: pd.DataFrame, rows: Any = None, columns: Any = None) -> pd.DataFrame:
    frame.index.name, frame.columns.name = rows, columns
    return frame


def with_attrs(frame: pd.DataFrame, **attrs: object) -> pd.DataFrame:
    frame.attrs = attrs
    return frame


def table(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(columns)


FRAMES = {
    "numbers": table(i=[1, 2], f=[1.5, np.nan], b=[True, False], c=[1j, 2], t=["x", None]),
    "small numbers": table(i1=np.array([1], "i1"), u2=np.array([2], "u2"), f2=np.array([3], "f2")),
    "empty": pd.DataFrame(),
    "rows only": pd.DataFrame(index=[3, 1]),
    "columns only": pd.DataFrame(columns=["a", "b"]),
    "no rows": table(a=[], b=pd.array([], "Int64"), c=pd.Categorical([])),
    "wide": pd.DataFrame(np.arange(300.0).reshape(3, 100)),
    "wide with labels": pd.DataFrame(np.ones((2, 90), "f4"), columns=[f"c{n}" for n in range(90)]),
    "labels of any type": pd.DataFrame([[1] * 6], columns=["a/b", "", ".", 1, ("t", 2), None]),
    "labels that are no names": pd.DataFrame([[1] * 3], columns=["a/b", "", "../x"]),
    "repeated labels": pd.DataFrame(np.ones((2, 3)), columns=["a", "a", "b"]),
    "numbers as labels": pd.DataFrame(np.ones((2, 3)), columns=[5.5, 6, 7]),
    "dates as labels": pd.DataFrame(np.ones((1, 3)), columns=pd.date_range("2020", periods=3)),
    "multi-index": pd.DataFrame(np.ones((8, 8)), index=PRODUCT, columns=PRODUCT),
    "unused levels": pd.DataFrame(np.ones((8, 8)), index=PRODUCT, columns=PRODUCT).iloc[2:5],
    "dates": table(
        berlin=pd.date_range("2020-10-25", periods=3, freq="h", tz=BERLIN),
        utc=pd.to_datetime([None, "2020", "2021"], utc=True),
        offset=pd.date_range("2020", periods=3, tz=datetime.timezone(datetime.timedelta(hours=2))),
        seconds=pd.date_range("2020", periods=3, unit="s"),
        times=pd.to_timedelta([1, None, 3], unit="ms"),
        months=pd.period_range("2020-01", periods=3, freq="M"),
    ),
    "frequency": pd.DataFrame(
        {"a": [1, 2]}, index=pd.date_range("2020", periods=2, freq="MS", tz="America/New_York")
    ),
    "time differences": pd.DataFrame({"a": [1, 2]}, index=pd.timedelta_range("1s", periods=2)),
    "periods": pd.DataFrame({"a": [1, 2]}, index=pd.period_range("2020", periods=2, freq="D")),
    "intervals": pd.DataFrame({"a": pd.cut([1, 5, 9], 3)}, index=pd.interval_range(0, 3)),
    "nullable": table(
        i=pd.array([1, None, 3], "Int64"),
        u=pd.array([1, 2, None], "UInt8"),
        f=pd.array([1.5, None, 2], "Float64"),
        b=pd.array([True, None, False], "boolean"),
        s=pd.array(["a", None, "ü\0"], "string"),
        whole=pd.array(["a", "b", "c"], pd.StringDtype("python")),
    ),
    "categories": pd.DataFrame(
        {
            "text": pd.Categorical(["a", "b", None]),
            "ordered": pd.Categorical([3, 1, 3], categories=[3, 2, 1], ordered=True),
        },
        index=pd.CategoricalIndex(list("xyx"), ordered=True, name="kind"),
    ),
    "objects": pd.DataFrame(
        {
            "mixture": ["a", None, np.nan, 1, 2.5, True, pd.NA, pd.NaT, 1j, ""],
            "texts": [*"abcdefghi", "ends in NUL\0"],
            "missing": [*"abcdefgh", None, np.nan],
            "surrogates": ["\ud800", *"abcdefghi"],
        },
        dtype=object,
    ),
    "cells": pd.DataFrame({"cell": [np.ones(2), [1, 2], {"a": 1}, (1, "x"), 2**62]}, dtype=object),
    "texts of different lengths": table(a=["x" * n * 1000 for n in range(30)]),
    "rows from 5": pd.DataFrame({"a": [1, 2]}, index=pd.RangeIndex(5, 9, 2)),
    "names": labelled(table(a=[1]), rows=1.5, columns="columns"),
    "more names": labelled(table(a=[1]), pd.Timestamp("2020", tz="UTC"), ("a", None, np.int64(3))),
    "attributes": with_attrs(table(a=[1]), unit="mV", gains=[1, 2.5], filter={"low": np.arange(2)}),
}


def round_trip(value: object) -> Any:
    encoded, form = encode(value)
    fields, arrays = fields_of(encoded)
    assert len({field.path for field in fields}) == len(fields)
    return decode(arrays, json.loads(json.dumps(form)))


@pytest.mark.parametrize("name", FRAMES)
def test_frames_columns_and_indexes_come_back(tools, name: str) -> None:
    frame = FRAMES[name]
    before = frame.copy()
    assert tools.same(round_trip(frame), frame)
    for part in [frame.index, frame.columns, *(frame.iloc[:, at] for at in range(frame.shape[1]))]:
        assert tools.same(round_trip(part), part)
    assert tools.same(frame, before)


@pytest.mark.parametrize("way", WAYS)
def test_frames_come_back_in_every_way_of_storing(run, tools, tmp_path: Path, way: str) -> None:
    values = [*FRAMES.values(), {"frames": [FRAMES["numbers"], FRAMES["dates"]["berlin"]]}]

    def make(call: int) -> object:
        return (np.ones(3), values[call]) if way.startswith("stacked") else values[call]

    done = run(make, len(values), WAYS[way], batch=7)
    assert not done.errors
    assert not done.notes
    target = merge(done.output_dir, tmp_path / "merged.h5").path
    for path in (done.output_dir, target):
        assert verify(path) == []
        with acme_io.open_results(path) as results:
            for call in results:
                assert tools.same(call.values, make(call.index))


SCALARS = [
    pd.NaT,
    pd.NA,
    pd.Timestamp("2020-10-25 02:30:00+01:00", tz=BERLIN),
    pd.Timestamp("2020").as_unit("s"),
    pd.Timedelta("1s"),
]


def test_scalars_of_pandas_come_back(run, tools) -> None:
    done = run(lambda call: {"scalars": SCALARS, "one": SCALARS[call]}, len(SCALARS))
    assert not done.notes
    with acme_io.open_results(done.output_dir) as results:
        for call in results:
            assert tools.same(call.values, {"scalars": SCALARS, "one": SCALARS[call.index]})


def test_plain_h5py_reads_frames(run) -> None:
    frame = pd.DataFrame(
        {"x": [1.5, 2.5], "a/b": pd.Categorical(["u", "v"]), "t": ["yes", "no"]},
        index=pd.date_range("2020", periods=2, unit="ns"),
    )
    done = run(lambda call: frame, 1)
    with h5py.File(done.container, "r") as file:
        group = file["comp_0/result_0"]
        assert group.attrs["kind"].decode() == "frame"
        columns = group["columns"]
        assert [name.decode() for name in columns.attrs["order"]] == ["x", "a%2Fb", "t"]
        assert columns["x"][:].tolist() == [1.5, 2.5]
        assert columns["a%2Fb/codes"][:].tolist() == [0, 1]
        assert columns["a%2Fb/categories/values"].name
        assert group["index/values"][:].tolist() == frame.index.astype("i8").tolist()


@pytest.mark.parametrize("way", ["links", "single"])
def test_names_and_records_longer_than_an_attribute(run, tools, way: str) -> None:
    long = {f"column {at} with a long name": np.arange(2, dtype="if"[at % 2]) for at in range(1200)}
    done = run(lambda call: pd.DataFrame(long), 2, WAYS[way])
    assert not done.notes
    assert verify(done.output_dir) == []
    with acme_io.open_results(done.output_dir) as results:
        for call in results:
            assert tools.same(call.values, pd.DataFrame(long))


class Own(pd.DataFrame):
    """A subclass, which would lose its class."""


REFUSED = {
    "sparse": (table(a=pd.arrays.SparseArray([1, 0])), "dtype Sparse"),
    "sets": (table(a=[{1}]), "type builtins.set"),
    "flag": (table(a=[1]).set_flags(allows_duplicate_labels=False), "forbids duplicate labels"),
    "subclass": (Own({"a": [1]}), "Own"),
    "attributes": (with_attrs(table(a=[1]), x={1}), "type builtins.set"),
    "large integers": (pd.DataFrame({"a": [2**70]}, dtype=object), "64 bits"),
    "array": (pd.Categorical(["a"]), "Categorical"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_change_is_pickled_with_its_reason(run, name: str) -> None:
    value, reason = REFUSED[name]
    with pytest.raises(NotStorableError, match=reason):
        encode(value)
    done = run(lambda call: value, 1)
    assert reason in done.notes[0]


names = st.one_of(
    st.none(),
    st.text(max_size=3),
    st.integers(-3, 3),
    st.floats(allow_nan=False),
    st.tuples(st.text(max_size=2), st.integers(0, 2)),
)
texts = st.one_of(st.text(max_size=4), st.text("a\0ü/", max_size=3), st.just("x" * 200))
columns = st.sampled_from(
    [
        (st.floats(), "f8"),
        (st.integers(-128, 127), "i1"),
        (st.booleans(), "?"),
        (st.one_of(st.none(), st.integers(0, 2**63 - 1)), "Int64"),
        (st.one_of(st.none(), st.booleans()), "boolean"),
        (st.one_of(st.none(), st.floats(allow_nan=False)), "Float64"),
        (st.one_of(st.none(), texts), "string"),
        (st.one_of(st.none(), texts), "category"),
        (st.integers(0, 3), "category"),
        (st.one_of(st.none(), st.integers(-(2**40), 2**40)), "M8[us]"),
        (st.one_of(st.none(), st.integers(-(2**40), 2**40)), "m8[ms]"),
        (st.integers(-(2**60), 2**60), "datetime64[ns, Europe/Berlin]"),
        (st.one_of(texts, st.none(), st.just(np.nan), st.integers(-5, 5), st.floats()), "O"),
    ]
)


@st.composite
def indexes(draw: Any, n: int) -> Any:
    name = draw(names)
    kind = draw(st.sampled_from(["none", "range", "text", "number", "dates", "levels"]))
    if kind == "levels":
        pairs = [(draw(texts), draw(st.integers(0, 2))) for _ in range(n)]
        if not pairs:
            return pd.MultiIndex.from_arrays([[], []], names=[name, "second"])
        return pd.MultiIndex.from_tuples(pairs, names=[name, "second"])
    if kind == "text":
        return pd.Index([draw(texts) for _ in range(n)], dtype=object, name=name)
    if kind == "number":
        return pd.Index([draw(st.floats()) for _ in range(n)], dtype="f8", name=name)
    if kind == "dates":
        freq = draw(st.sampled_from(["D", "h", "MS", "7min"]))
        return pd.date_range("2021", periods=n, freq=freq, name=name)
    return pd.RangeIndex(n) if kind == "none" else pd.RangeIndex(3, 3 + 2 * n, 2, name=name)


@st.composite
def frames(draw: Any) -> pd.DataFrame:
    n, width = draw(st.integers(0, 5)), draw(st.integers(0, 4))
    index = draw(indexes(n))
    found = []
    for _ in range(width):
        entries, dtype = draw(columns)
        found.append(pd.Series([draw(entries) for _ in range(n)], index=index, dtype=dtype))
    frame = pd.DataFrame(dict(enumerate(found)), index=index)
    kind = draw(st.sampled_from(["none", "texts", "repeated", "mixed", "index"]))
    if kind == "texts":
        frame.columns = draw(st.lists(texts, min_size=width, max_size=width, unique=True))
    elif kind == "repeated":
        frame.columns = ["a"] * width
    elif kind == "mixed":
        frame.columns = pd.Index([draw(names) for _ in range(width)], dtype=object)
    elif kind == "index":
        frame.columns = draw(indexes(width))
    return frame


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(frame=frames())
def test_encoding_loses_nothing(tools, frame: pd.DataFrame) -> None:
    assert tools.same(round_trip(frame), frame)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
    max_examples=40,
)
@given(values=st.lists(frames(), min_size=1, max_size=4), way=st.sampled_from(["links", "single"]))
def test_files_lose_nothing(tmp_path_factory, tools, values: list[object], way: str) -> None:
    folder = tmp_path_factory.mktemp("run")
    done = tools.run(folder / "out", values.__getitem__, len(values), WAYS[way], batch=3)
    assert not done.errors
    assert not done.notes
    with acme_io.open_results(done.output_dir) as results:
        for call in results:
            assert tools.same(call.values, values[call.index])
