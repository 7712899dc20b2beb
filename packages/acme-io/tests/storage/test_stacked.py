"""Stacked results: shapes, padding, further values, consolidation, damaged sources."""

import os
import resource
from pathlib import Path

import h5py
import numpy as np
import pytest

import acme_io
from acme_io import Slots, StorageOptions
from acme_io.errors import MissingCallError, ResultDtypeError, ResultShapeError
from acme_io.runs.store import RunStore

WAYS = [False, True]


def stacked(*shape: object, dtype: str = "float", single_file: bool = False) -> StorageOptions:
    return StorageOptions(slots=Slots(shape, dtype), single_file=single_file)


def test_stacked_example_of_the_user_guide(run) -> None:
    done = run(lambda call: np.ones(3) * (18 + 6 * call), 4, stacked(None, 3), batch=2)
    payload = done.output_dir / "f_payload"
    assert done.files == [str(payload / "f_0-1.h5"), str(payload / "f_2-3.h5")]
    with h5py.File(done.container, "r") as file:
        assert str(file.keys()) == "<KeysViewHDF5 ['result_0']>"
        assert str(file["result_0"]) == '<HDF5 dataset "result_0": shape (4, 3), type "<f8">'
        assert file["result_0"][()].tolist() == [[18.0] * 3, [24.0] * 3, [30.0] * 3, [36.0] * 3]
        assert file["result_0"].is_virtual


@pytest.mark.parametrize("single_file", WAYS)
@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((None,), "float"),
        ((None, 3), "float32"),
        ((3, None), "int16"),
        ((2, None, 3), "complex128"),
        ((None, 0), "float"),
        ((None,), "bool"),
        ((None, 2), "M8[ms]"),
        ((None, 5000), "float"),
    ],
)
def test_rows_are_read_back(run, shape: tuple, dtype: str, single_file: bool) -> None:
    slot = tuple(n for n in shape if n is not None)
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, 2, slot).astype(dtype) for _ in range(11)]
    options = stacked(*shape, dtype=dtype, single_file=single_file)
    done = run(lambda call: rows[call], 11, options, batch=3)
    assert not done.errors
    expected = np.stack(rows, axis=shape.index(None))
    with acme_io.open_results(done.output_dir) as results:
        stack = results.stack()
        assert stack.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(stack, expected)
        np.testing.assert_array_equal(results[4].values, rows[4])
        assert results[10].arguments == {"x": 10}
        pieces = list(results.chunks(size=4))
        assert [calls for calls, _ in pieces] == [range(4), range(4, 8), range(8, 11)]
        again = np.concatenate([piece for _, piece in pieces], axis=shape.index(None))
        np.testing.assert_array_equal(again, expected)
    with h5py.File(done.container, "r") as file:
        assert list(file) == ["result_0"]
        assert file["result_0"].shape == expected.shape
        if dtype != "M8[ms]":
            np.testing.assert_array_equal(file["result_0"][()], expected)
    assert done.files == ([str(done.container)] if single_file else done.files)


@pytest.mark.parametrize("single_file", WAYS)
def test_rows_of_different_lengths_are_padded(run, single_file: bool) -> None:
    options = stacked(None, np.inf, single_file=single_file)
    done = run(lambda call: np.full(call % 4, call), 9, options, batch=2)
    with acme_io.open_results(done.output_dir) as results:
        assert results.lengths.tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0]
        stack = results.stack()
        assert stack.shape == (9, 3)
        assert np.isnan(stack[1]).tolist() == [False, True, True]
        assert results[7].values.tolist() == [7, 7, 7]
        assert results[4].values.tolist() == []
    with h5py.File(done.container, "r") as file:
        np.testing.assert_array_equal(file["result_0"][()], stack)


@pytest.mark.parametrize("single_file", WAYS)
def test_further_return_values_are_in_groups(run, single_file: bool) -> None:
    options = stacked(None, 2, single_file=single_file)
    done = run(lambda call: (np.ones(2) * call, f"call {call}", [call, 2.5]), 5, options, batch=2)
    with h5py.File(done.container, "r") as file:
        assert sorted(file) == ["comp_0", "comp_1", "comp_2", "comp_3", "comp_4", "result_0"]
        assert list(file["comp_3"]) == ["result_1", "result_2"]
        assert file["comp_3/result_1"].asstr()[()] == "call 3"
    with acme_io.open_results(done.output_dir) as results:
        row, text, others = results[3].values
        assert (row.tolist(), text, others) == ([3, 3], "call 3", [3, 2.5])
        assert results[3].result_1 == "call 3"
        assert results.stack(1).tolist() == [f"call {call}" for call in range(5)]


@pytest.mark.parametrize("single_file", WAYS)
def test_mismatched_rows_fail_their_calls_only(run, single_file: bool) -> None:
    values = [np.ones(2), np.ones(3), np.ones(2) * 1j, "ab", np.ones(1), {"a": 1}, (5, 6)]
    options = stacked(None, 2, single_file=single_file)
    done = run(lambda call: values[call], 7, options, batch=7)
    kinds = {call: type(error) for call, error in done.errors.items()}
    assert kinds == {
        1: ResultShapeError,
        2: ResultDtypeError,
        3: ResultDtypeError,
        4: ResultShapeError,
    }
    assert str(done.errors[1]).startswith("Call 1: ")
    assert "(3,)" in str(done.errors[1])
    assert "(None, 2)" in str(done.errors[1])
    with acme_io.open_results(done.output_dir, allow_pickle=True) as results:
        assert results.status == ["done", *["failed"] * 4, "pickled", "done"]
        assert results[5].values == {"a": 1}
        with pytest.raises(MissingCallError, match="5 of 7 calls"):
            results.stack()
        masked = results.stack(missing="mask")
        assert masked.mask[:, 0].tolist() == [False, *[True] * 5, False]
    with h5py.File(done.container, "r") as file:
        assert np.isnan(file["result_0"][1:6]).all()
        assert file["result_0"][6].tolist() == [5, 6]


def test_status_decides_for_dtypes_without_nan(run) -> None:
    done = run(lambda call: call if call != 1 else 1 / 0, 3, stacked(None, dtype="int"))
    with h5py.File(done.container, "r") as file:
        assert file["result_0"][()].tolist() == [0, 0, 2]
    with acme_io.open_results(done.output_dir) as results:
        with pytest.raises(MissingCallError):
            results.stack()
        assert results.stack(missing="mask").tolist() == [0, None, 2]


def test_a_batch_without_results_leaves_no_file(run) -> None:
    done = run(lambda call: 1 / 0 if call < 4 else call, 8, stacked(None), batch=4)
    assert os.listdir(done.output_dir / "f_payload") == ["f_4-7.h5"]


@pytest.mark.parametrize("shape", [(None,), (None, 2), (2, None), (None, np.inf)])
def test_many_batches_are_consolidated(run, shape: tuple) -> None:
    n = 300

    def row(call: int) -> object:
        if call % 97 == 5:
            raise ZeroDivisionError
        if np.inf in shape:
            return np.full(call % 3, call)
        return np.full([2] * (len(shape) - 1), call)

    done = run(row, n, stacked(*shape), batch=1, retries=[7, 8, 200, 299])
    folder = done.output_dir / "f_payload"
    assert 1 < len(os.listdir(folder)) <= 128
    assert (
        sorted(done.files, key=lambda f: int(Path(f).stem.split("_")[1].split("-")[0]))
        == done.files
    )
    assert {Path(file).name for file in done.files} == set(os.listdir(folder))
    with h5py.File(done.container, "r") as file:
        assert len({source.file_name for source in file["result_0"].virtual_sources()}) <= 128
        content = file["result_0"][()]
    with acme_io.open_results(done.output_dir) as results:
        assert results.failed == [call for call in range(n) if call % 97 == 5]
        stack = results.stack(missing="mask")
        np.testing.assert_array_equal(stack.filled(np.nan), content)
        for call in (0, 7, 8, 13, 200, 299):
            np.testing.assert_array_equal(results[call].values, row(call))
            assert results[call].record["attempt"] == (2 if call in (7, 8, 200, 299) else 1)


def test_consolidation_keeps_further_return_values(run) -> None:
    done = run(lambda call: (call, f"call {call}"), 400, stacked(None), batch=2)
    assert len(os.listdir(done.output_dir / "f_payload")) <= 128
    with acme_io.open_results(done.output_dir) as results:
        assert [results[call].values[1] for call in (0, 199, 399)] == [
            "call 0",
            "call 199",
            "call 399",
        ]
    with h5py.File(done.container, "r") as file:
        assert file["comp_399/result_1"].asstr()[()] == "call 399"


def test_retry_replaces_its_row(tmp_path: Path, tools) -> None:
    store = RunStore.create(tmp_path, "f", stacked(None), tools.new_run(6))
    receipts = [
        tools.write_batch(store, lambda call: 1 / 0 if call == 2 else call, range(6)),
        tools.write_batch(store, lambda call: 20, range(2, 3), attempt=2),
    ]
    for receipt in receipts:
        store.accept(receipt)
    tools.finish(store, receipts[1:] + receipts[:1])
    store.close()
    with h5py.File(tmp_path / "f.h5") as file:
        assert file["result_0"][()].tolist() == [0, 1, 20, 3, 4, 5]


def test_reused_buffers_are_copied(run) -> None:
    buffer = np.zeros(3)

    def fill(call: int) -> np.ndarray:
        buffer[:] = call
        return buffer

    for options in (stacked(None, 3), StorageOptions(single_file=True), StorageOptions()):
        done = run(fill, 4, options)
        with acme_io.open_results(done.output_dir) as results:
            assert [call.values[0] for call in results] == [0, 1, 2, 3]


def test_large_rows_are_split_over_files(run) -> None:
    row = np.ones(3 << 20)  # 24 MB
    done = run(lambda call: row * call, 4, stacked(None, 3 << 20), batch=4)
    assert [Path(file).name for file in done.files] == ["f_0-1.h5", "f_2-3.h5"]
    with acme_io.open_results(done.output_dir) as results:
        assert results[3].values[-1] == 3


@pytest.mark.parametrize("single_file", WAYS)
def test_more_files_than_may_be_open(run, single_file: bool) -> None:
    options = stacked(None, 40_000, single_file=single_file)  # rows of 320 kB
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    in_use = len(os.listdir("/dev/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (in_use + 100, hard))
    try:
        done = run(lambda call: (np.full(40_000, call), f"call {call}"), 150, options, batch=1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with acme_io.open_results(done.output_dir) as results:
        assert [results[call].values[0][-1] for call in (0, 80, 149)] == [0, 80, 149]
        assert results[149].values[1] == "call 149"


def test_truncated_source_affects_its_own_rows_only(run) -> None:
    done = run(lambda call: call, 12, stacked(None), batch=4)
    middle = Path(done.files[1])
    middle.write_bytes(middle.read_bytes()[:-100])
    with acme_io.open_results(done.output_dir) as results:
        with pytest.raises(MissingCallError, match=r"4, 5, 6, 7.*f_4-7\.h5 is damaged"):
            results.stack()
        masked = results.stack(missing="mask")
        assert masked.tolist() == [0, 1, 2, 3, None, None, None, None, 8, 9, 10, 11]
        assert results[9].values == 9
    middle.unlink()
    with acme_io.open_results(done.output_dir) as results:
        assert results.missing == [4, 5, 6, 7]
        assert results.stack(missing="mask").mask.sum() == 4
