"""The table of a run: a row per call, in every way of storing, whatever became of the calls."""

import collections
import datetime
import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import acme_io
from acme_io import Slots, StorageOptions
from acme_io.backend import Grid, RunStore
from acme_io.errors import DamagedFileError, PicklesRefusedError
from acme_io.results.columns import column_of
from acme_io.tools.merge import merge

WAYS = {
    "per call": StorageOptions(),
    "pickles": StorageOptions(pickle=True),
    "single file": StorageOptions(single_file=True),
    "stacked": StorageOptions(slots=Slots((None,))),
    "stacked in one file": StorageOptions(slots=Slots((None,)), single_file=True),
}
RECORD = ["status", "seconds", "peak_memory", "worker"]


def table_of(path, **options) -> pd.DataFrame:
    with acme_io.open_results(path, allow_pickle=True, **options) as results:
        return results.to_pandas()


def results_of(table: pd.DataFrame) -> list[str]:
    """The columns of results."""
    return [name for name in table.columns if name not in ("x", *RECORD)]


@pytest.mark.parametrize("way", WAYS)
def test_a_row_per_call_in_every_way_of_storing(run, way) -> None:
    def func(call: int) -> float:
        if call == 4:
            raise ZeroDivisionError
        return call / 2

    done = run(func, 9, WAYS[way], batch=2, only=range(1, 8))
    table = table_of(done.output_dir)
    assert table.index.name == "call"
    assert table.index.tolist() == list(range(9))
    assert table.columns.tolist() == ["x", "result_0", *RECORD]
    with_result = [call in (1, 2, 3, 5, 6, 7) for call in range(9)]
    assert table["status"].tolist() == [
        "done" if ok else "failed" if call == 4 else "missing"
        for call, ok in enumerate(with_result)
    ]
    expected = [call / 2 if ok else math.nan for call, ok in enumerate(with_result)]
    np.testing.assert_array_equal(table["result_0"], expected)
    np.testing.assert_array_equal(
        table["x"], [c if ok else math.nan for c, ok in enumerate(with_result)]
    )
    assert table["result_0"].dtype == np.float64
    ran = [1 <= call < 8 for call in range(9)]
    np.testing.assert_array_equal(table["seconds"], [0.5 if one else math.nan for one in ran])
    assert table["worker"].isna().tolist() == [not one for one in ran]
    assert set(table["worker"].dropna()) == {"worker-0", "worker-1"}


@pytest.mark.parametrize("way", [way for way in WAYS if way != "pickles"])
def test_merged_results_have_the_same_table(run, way, tmp_path) -> None:
    done = run(lambda call: call + 0.5, 5, WAYS[way])
    merged = merge(done.output_dir, tmp_path / "all.h5").path
    pd.testing.assert_frame_equal(table_of(merged), table_of(done.output_dir))


@pytest.mark.parametrize("way", WAYS)
def test_an_interrupted_run_has_a_table(tmp_path, tools, way) -> None:
    store = RunStore.create(tmp_path, "f", WAYS[way], tools.new_run(6))
    for calls in (range(2), range(2, 4)):
        store.accept(tools.write_batch(store, float, calls))
    table = table_of(tmp_path)
    assert table["status"].tolist() == ["done"] * 4 + ["missing"] * 2
    np.testing.assert_array_equal(table["result_0"], [0, 1, 2, 3, math.nan, math.nan])
    assert table["peak_memory"].tolist()[:4] == [1000.0] * 4
    assert table["seconds"].tolist()[:4] == [0.5] * 4
    store.close()


@pytest.mark.parametrize("way", WAYS)
def test_all_failed(run, way) -> None:
    def func(call: int) -> float:
        raise ZeroDivisionError

    table = table_of(run(func, 3, WAYS[way]).output_dir)
    assert table.columns.tolist() == RECORD
    assert table["status"].tolist() == ["failed"] * 3


@pytest.mark.parametrize("way", WAYS)
def test_one_call(run, way) -> None:
    table = table_of(run(float, 1, WAYS[way]).output_dir)
    assert table["result_0"].tolist() == [0.0]
    assert len(table) == 1


@pytest.mark.parametrize("way", WAYS)
def test_an_empty_selection(run, way) -> None:
    done = run(float, 3, WAYS[way])
    with acme_io.open_results(done.output_dir, allow_pickle=True) as results:
        table = results.filter(status="missing").to_pandas()
        assert len(table) == 0
        assert table.columns.tolist() == RECORD


@pytest.mark.parametrize("way", WAYS)
def test_a_selection_has_its_rows_in_its_order(run, way) -> None:
    done = run(float, 40, WAYS[way])
    with acme_io.open_results(done.output_dir, allow_pickle=True) as results:
        whole = results.to_pandas()
        for index in ([7, 3, 3, 0], slice(2, 30, 3), slice(5, 9), [39]):
            some = results[index].to_pandas()
            pd.testing.assert_frame_equal(some, whole.iloc[index])


Point = collections.namedtuple("Point", ["height", "x"])

VALUES = {
    "one": (lambda c: c / 2, {"result_0": [0.0, 0.5, 1.0]}),
    "integers": (lambda c: c, {"result_0": [0, 1, 2]}),
    "bools": (lambda c: c > 1, {"result_0": [False, False, True]}),
    "texts": (lambda c: "ab"[:c], {"result_0": ["", "a", "ab"]}),
    "complex": (lambda c: c + 1j, {"result_0": [1j, 1 + 1j, 2 + 1j]}),
    "numpy": (lambda c: np.float32(c), {"result_0": [0.0, 1.0, 2.0]}),
    "0-d arrays": (lambda c: np.array(float(c)), {"result_0": [0.0, 1.0, 2.0]}),
    "several": (lambda c: (c, str(c)), {"result_0": [0, 1, 2], "result_1": ["0", "1", "2"]}),
    "with arrays": (lambda c: (np.zeros(3), c), {"result_1": [0, 1, 2]}),
    "arrays": (lambda c: np.zeros(3), {}),
    "lists": (lambda c: [1, 2, c], {}),
    "none": (lambda c: None, {"result_0": [None] * 3}),
    "sometimes": (lambda c: c if c else np.zeros(2), {"result_0": [None, 1, 2]}),
    "dicts": (
        lambda c: {"mean": c / 2, "n": c, "trace": np.zeros(3), "by": {"id": str(c)}},
        {"mean": [0.0, 0.5, 1.0], "n": [0, 1, 2], "by.id": ["0", "1", "2"]},
    ),
    "uneven dicts": (
        lambda c: {"k": c} if c else {"other": 1},
        {"other": [1, None, None], "k": [None, 1, 2]},
    ),
    "dict of several": (lambda c: (c, {"a": c}), {"result_0": [0, 1, 2], "result_1.a": [0, 1, 2]}),
    "named": (lambda c: Point(c * 1.5, c), {"height": [0.0, 1.5, 3.0], "result.x": [0, 1, 2]}),
    "names taken": (
        lambda c: {"x": c, "status": c, "seconds": c, "result.x": c},
        {
            name: [0, 1, 2]
            for name in ("result.result.x", "result.status", "result.seconds", "result.x")
        },
    ),
}


@pytest.mark.parametrize("way", ["per call", "single file", "pickles"])
@pytest.mark.parametrize("kind", VALUES)
def test_scalars_are_columns(run, way, kind) -> None:
    func, expected = VALUES[kind]
    table = table_of(run(func, 3, WAYS[way]).output_dir)
    assert results_of(table) == list(expected)
    for name, values in expected.items():
        found = [None if pd.isna(one) else one for one in table[name].tolist()]
        assert found == values


def test_columns_of_numbers_have_a_dtype(run) -> None:
    kinds = {
        "i": int,
        "f": float,
        "u": np.uint8,
        "s": np.float32,
        "d": lambda c: np.datetime64(c, "D"),
    }
    done = run(lambda call: {name: kind(call) for name, kind in kinds.items()}, 3)
    dtypes = table_of(done.output_dir).dtypes
    assert [dtypes[name] for name in "ifus"] == ["int64", "float64", "uint8", "float32"]
    assert dtypes["d"].kind == "M"


def test_gaps_keep_the_dtype_where_it_has_a_blank(run) -> None:
    def func(call: int) -> object:
        if call == 1:
            raise ZeroDivisionError
        return {
            "i": call,
            "big": 2**60 + call,
            "b": True,
            "d": np.datetime64("2026-01-01"),
            "s": np.float32(1),
        }

    table = table_of(run(func, 3).output_dir)
    assert table["i"].dtype == np.float64
    assert table["big"].tolist() == [2**60, None, 2**60 + 2]
    assert table["b"].tolist() == [True, None, True]
    assert table["d"].isna().tolist() == [False, True, False]
    assert table["s"].dtype == np.float32


def test_arguments_of_a_grid_are_columns_of_every_call(tmp_path, tools) -> None:
    grid = Grid(("a", "b", "c"), ([1, 2], ["u", "v"], np.array([0.5, 1.5])))
    store = RunStore.create(tmp_path, "f", StorageOptions(), tools.new_run(8, grid=grid))
    receipt = tools.write_batch(store, float, range(2))
    store.accept(receipt)
    tools.finish(store, [receipt])
    store.close()
    table = table_of(tmp_path)
    assert table.columns.tolist()[:4] == ["a", "b", "c", "result_0"]
    assert table["a"].tolist() == [1] * 4 + [2] * 4
    assert table["b"].tolist() == ["u", "u", "v", "v"] * 2
    assert table["c"].tolist() == [0.5, 1.5] * 4
    assert table["result_0"].notna().sum() == 2


def test_names_of_arguments_win(tmp_path, tools) -> None:
    store = RunStore.create(tmp_path, "f", StorageOptions(), tools.new_run(2))
    writer = store.sink.open(range(2))
    for call in range(2):
        facts = {"seconds": call, "array": np.zeros(3), "mass": {"kg": 1}, "call": "c"}
        writer.put(tools.report(call, **facts), {"seconds": 7.0, "call.seconds": 8.0})
    receipt = writer.close()
    store.accept(receipt)
    tools.finish(store, [receipt])
    store.close()
    table = table_of(tmp_path)
    assert table["seconds"].tolist() == [0, 1]
    assert table["result.seconds"].tolist() == [7.0, 7.0]
    assert table["call.seconds"].tolist() == [8.0, 8.0]
    assert table["call.call.seconds"].tolist() == [0.5, 0.5]
    assert table["array"].tolist() == ["numpy.ndarray of shape (3,), <f8"] * 2
    assert table["mass"].tolist() == ["dict of length 1"] * 2


def test_pickles_are_refused_without_permission(run) -> None:
    done = run(lambda call: {1, 2} if call == 1 else call, 3)
    with acme_io.open_results(done.output_dir) as results:
        with pytest.raises(PicklesRefusedError, match="call 1"):
            results.to_pandas()
        assert results.filter(status="done").to_pandas()["result_0"].tolist() == [0, 2]
    table = table_of(done.output_dir)
    assert table["status"].tolist() == ["done", "pickled", "done"]
    assert table["x"].tolist() == [0, 1, 2]


def test_a_lost_file_is_a_missing_call(run) -> None:
    done = run(float, 3)
    Path(done.files[1]).unlink()
    table = table_of(done.output_dir)
    assert table["status"].tolist() == ["done", "missing", "done"]
    assert table["result_0"].isna().tolist() == [False, True, False]


def test_a_damaged_file_is_named(run) -> None:
    done = run(float, 3)
    content = bytearray(Path(done.files[1]).read_bytes())
    content[-1] ^= 1
    Path(done.files[1]).write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"f_1\.h5"):
        table_of(done.output_dir)


def test_payloads_stay_closed_where_the_container_has_the_results(run, monkeypatch) -> None:
    done = run(float, 30, StorageOptions(slots=Slots((None,)), single_file=True))
    with acme_io.open_results(done.output_dir) as results:
        loaded = []
        load = results._source.load
        monkeypatch.setattr(results._source, "load", lambda call: loaded.append(call) or load(call))
        table = results.to_pandas()
        assert table["result_0"].tolist() == list(range(30))
        assert loaded == [0]


def test_dicts_without_end_have_columns(run) -> None:
    def func(call: int) -> object:
        value: dict[str, object] = {"a": call, "set": {1}}
        value["self"] = value
        return value

    table = table_of(run(func, 2).output_dir)
    assert table["a"].tolist() == table["self.self.a"].tolist() == [0, 1]


def test_without_pandas_the_error_says_what_to_install(run) -> None:
    done = run(float, 2)
    code = (
        "import sys; sys.modules['pandas'] = None; import acme_io\n"
        f"results = acme_io.open_results({str(done.output_dir)!r})\n"
        "try: results.to_pandas()\n"
        "except ImportError as error: print(error)\n"
        "from acme_io.cli import main; main(['table', sys.argv[1]])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(done.output_dir)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert 'pip install "acme-io[pandas]"' in found.stdout
    assert "call,x,result_0,status,seconds,peak_memory,worker" in found.stdout


def test_opening_results_imports_no_pandas(run) -> None:
    done = run(float, 2)
    code = (
        f"import sys, acme_io; r = acme_io.open_results({str(done.output_dir)!r}); r.stack(); "
        "print(sorted({'pandas', 'xarray', 'matplotlib'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    st.text(),
    st.dates(),
    st.integers(0, 255).map(np.uint8),
    st.floats(width=32).map(np.float32),
    st.builds(np.datetime64, st.integers(-1000, 1000), st.sampled_from(["D", "s", "ns"])),
    st.builds(np.timedelta64, st.integers(-1000, 1000), st.sampled_from(["D", "s", "ns"])),
)
alike = st.sampled_from(
    [
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(),
        st.one_of(st.floats(), st.integers(-9, 9)),
    ]
).flatmap(lambda one: st.lists(st.one_of(st.none(), one)))


@given(values=st.one_of(st.lists(scalars), alike))
def test_columns_hold_what_they_were_given(values) -> None:
    column = column_of("c", values)
    assert column.known.tolist() == [value is not None for value in values]
    back = column.values.tolist() if column.values.dtype.kind not in "mM" else list(column.values)
    for given_, found, filled, known in zip(
        values, back, column.filled(), column.known, strict=True
    ):
        if known:
            assert found == given_ or (given_ != given_ and found != found)
            assert filled == given_ or given_ != given_
            assert isinstance(given_, bool | np.bool_) == isinstance(found, bool | np.bool_)
        else:
            assert filled is None or filled != filled


def test_dates_of_python_are_kept() -> None:
    day = datetime.date(2026, 1, 2)
    assert column_of("day", [day, None]).filled().tolist() == [day, None]


def test_a_moved_folder_has_its_table(run, tmp_path) -> None:
    done = run(lambda call: {"a": call}, 3)
    before = table_of(done.output_dir)
    shutil.move(done.output_dir, tmp_path / "moved")
    pd.testing.assert_frame_equal(table_of(tmp_path / "moved"), before)
