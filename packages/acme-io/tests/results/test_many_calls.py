"""Reading all calls at once gives what reading them one by one gives."""

from pathlib import Path

import h5py
import numpy as np
import pytest

import acme_io
from acme_io import Slots, StorageOptions
from acme_io.hdf5.many_datasets import read_alike
from acme_io.results.stacking import stack_values
from acme_io.tools.verify import verify

KINDS = {
    "links": StorageOptions(),
    "pickles": StorageOptions(pickle=True),
    "single": StorageOptions(single_file=True),
    "stacked": StorageOptions(slots=Slots((None, 2))),
    "stacked-single": StorageOptions(slots=Slots((2, None)), single_file=True),
    "varying": StorageOptions(slots=Slots((None, np.inf))),
}


def value(call: int) -> object:
    if call == 3:
        return {"a": call}
    if call == 4:
        raise ZeroDivisionError
    return np.full(2, float(call))


@pytest.mark.parametrize("kind", KINDS)
def test_arguments_of_all_calls(run, kind: str) -> None:
    done = run(value, 12, KINDS[kind], batch=3, only=range(1, 10))
    with acme_io.open_results(done.output_dir) as results:
        # The failure that the helper records for call 4 has no arguments.
        expected = [{"x": call} if 1 <= call < 10 and call != 4 else {} for call in range(12)]
        assert results.arguments == expected
        assert [call.arguments for call in results] == expected
        if kind == "links":
            (done.output_dir / "f_payload" / "f_5.h5").unlink()
    with acme_io.open_results(done.output_dir) as results:
        assert results.arguments[5] == ({} if kind == "links" else {"x": 5})


VALUES = {
    "float": float,
    "int": int,
    "bool": lambda call: call % 2 == 0,
    "complex": complex,
    "float32": np.float32,
    "uint8": np.uint8,
    "0-d array": lambda call: np.array(float(call)),
    "array": lambda call: np.arange(6.0).reshape(2, 3) + call,
    "empty array": lambda call: np.zeros((0, 2)),
    "large array": lambda call: np.arange(5000.0) + call,
    "big-endian": lambda call: np.arange(3, dtype=">i4") + call,
    "date": lambda call: np.datetime64("2026-01-01") + call,
    "text": str,
    "list": lambda call: [call, call + 1],
    "int and float": lambda call: call if call % 2 else float(call),
    "int and large int": lambda call: call if call < 7 else 2**63,
    "dtypes": lambda call: np.arange(2, dtype="f4" if call < 7 else "f8"),
    "structured": lambda call: np.array([(call, 1.0)], "i4,f8"),
}


@pytest.mark.parametrize("returned", ["one", "second of two"])
@pytest.mark.parametrize("kind", VALUES)
def test_stack_of_a_single_file(run, kind: str, returned: str) -> None:
    make, index = VALUES[kind], int(returned != "one")

    def func(call: int) -> object:
        if call == 4:
            raise ZeroDivisionError
        return ("first", make(call)) if index else make(call)

    done = run(func, 9, StorageOptions(single_file=True), only=range(1, 9))
    with acme_io.open_results(done.output_dir) as results:
        absent = {call: KeyError() for call in (0, 4)}
        rows = [None if call in absent else results._reader.value(call, index) for call in range(9)]
        expected = stack_values(rows, absent, "mask")
        found = results.stack(index, missing="mask")
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found.mask, expected.mask)
        np.testing.assert_array_equal(found, expected)
        with pytest.raises(acme_io.AcmeIOError):
            results.stack(index)
        parts = list(results.chunks(index, size=3, missing="mask"))
        np.testing.assert_array_equal(np.ma.concatenate([part for _, part in parts]), expected)


def test_stack_of_different_shapes_is_refused(run) -> None:
    done = run(lambda call: np.arange(2 + call % 2), 4, StorageOptions(single_file=True))
    with acme_io.open_results(done.output_dir) as results:
        with pytest.raises(ValueError, match="different shapes"):
            results.stack()
        with pytest.raises(AttributeError, match="result_1"):
            results.stack(1)


def test_datasets_that_differ_are_not_read_as_alike(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for name, content in {"a": [1.0], "b": [2.0], "c": [3], "d": [4.0, 5.0]}.items():
            file[name] = content
        fid = file.id
        assert read_alike(fid, ["a", "b"], numbers=False).tolist() == [[1.0], [2.0]]
        assert read_alike(fid, ["a", "c"], numbers=False) is None
        assert read_alike(fid, ["a", "d"], numbers=False) is None
        with pytest.raises((OSError, ValueError)):
            read_alike(fid, ["a", "d"], numbers=True)


@pytest.mark.parametrize("shape", [(None, 2), (2, None)])
@pytest.mark.parametrize("single", [False, True])
def test_verify_names_the_rows_that_changed(run, shape, single: bool) -> None:
    def func(call: int) -> object:
        if call == 4:
            raise ZeroDivisionError
        return np.full(2, 1000.0 + call), f"text {call}"

    done = run(func, 20, StorageOptions(slots=Slots(shape), single_file=single), batch=5)
    assert verify(done.output_dir) == []
    path = done.container if single else Path(done.files[1])
    content = path.read_bytes()
    with h5py.File(path) as file:
        columns = file["result_0"].shape[shape.index(None)]
        start = file["result_0"].id.get_offset()
    call, at = (7, 7 if single else 2)
    at = at * 16 if shape[0] is None else at * 8
    assert columns == (20 if single else 5)
    for offset in range(start + at, start + at + 8):
        damaged = bytearray(content)
        damaged[offset] ^= 1
        path.write_bytes(damaged)
        problems = verify(done.output_dir)
        assert problems
        if not single:  # a damaged container is reported as a whole
            assert problems[0].calls in ([call], list(range(5, 10)))
    path.write_bytes(content)
    assert verify(done.output_dir) == []
