"""Tables as arguments, on workers."""

import collections

import numpy as np
import pandas as pd
import pytest

from acme_core import ParallelMap, cross, each
from acme_io import open_results

pytestmark = pytest.mark.usefixtures("workers")

N = 300


def frame():
    return pd.DataFrame(
        {
            "number": np.arange(N) / 2,
            "text": [f"text {i}" for i in range(N)],
            "time": pd.date_range("2020-01-01", periods=N, tz="UTC"),
            "list": [[i] for i in range(N)],
            "two words": range(N),
        },
        index=[f"row {i}" for i in range(N)],
    )


def test_series_and_index(in_memory):
    series = pd.Series(np.arange(N, dtype="int16"), index=range(N, 0, -1))
    times = pd.Series(pd.date_range("2020-01-01", periods=N, tz="UTC"))
    got = in_memory(lambda x, y, z: (type(x).__name__, x, y, z), series, times, pd.RangeIndex(N))
    assert got == [("int", i, times.iloc[i], i) for i in range(N)]
    crossed = in_memory(lambda x, y: (x, y), cross(series.iloc[:3]), cross(pd.Index(["a", "b"])))
    assert crossed == [(i, text) for i in range(3) for text in "ab"]


def test_rows(in_memory):
    def g(row, rest):
        row.list.append(1)
        return repr(row), row._fields, row.Index, row.number, rest

    rows = list(frame().itertuples())
    for row in rows:
        row.list.append(1)
    assert in_memory(g, each(frame()), 4) == [
        (repr(row), row._fields, row.Index, row.number, 4) for row in rows
    ]


def test_rows_in_this_process(in_memory):
    assert in_memory(lambda row: repr(row), each(frame()), compute={"debug": True}) == list(
        map(repr, frame().itertuples())
    )


def test_large_arrays_in_a_frame(in_memory):
    table = pd.DataFrame({"a": range(4), "x": [np.full(200_000, float(i)) for i in range(4)]})

    def g(row):
        row.x[:] += 1
        return row.a, float(row.x[-1])

    assert in_memory(g, each(table)) == [(i, i + 1.0) for i in range(4)]


def test_rows_that_changed_run_again(tmp_path):
    log = tmp_path / "calls"

    def g(row):
        with open(log, "a") as file:
            file.write(f"{row.a} ")
        return row.a + row.b

    for values in ([1, 2, 3], [1, 5, 3]):
        table = pd.DataFrame({"a": values, "b": [0.5, 1.5, 2.5]})
        with ParallelMap(g, each(table), output_dir=tmp_path / "out", verbose=False) as pmap:
            pmap.compute(resume=True)
            with open_results(pmap.output_dir) as results:
                assert [call.values for call in results] == list(table.a + table.b)
    assert collections.Counter(log.read_text().split()) == {"1": 1, "2": 1, "3": 1, "5": 1}
