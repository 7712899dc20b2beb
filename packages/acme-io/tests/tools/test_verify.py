"""Damaged files raise errors of acme-io, and `verify` finds any flipped byte."""

import contextlib
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

import acme_io
from acme_io import AcmeIOError, Slots, StorageOptions
from acme_io.errors import DamagedFileError
from acme_io.files.checksum import LARGE, checksum
from acme_io.files.header import read_header
from acme_io.tools.merge import merge
from acme_io.tools.verify import verify

KINDS = {
    "links": StorageOptions(),
    "stacked": StorageOptions(slots=Slots((None, 3))),
    "single": StorageOptions(single_file=True),
    "stacked-single": StorageOptions(slots=Slots((None, np.inf)), single_file=True),
    "pickles": StorageOptions(pickle=True),
}


def values(call: int) -> object:
    return np.arange(3.0) + call


def nests(call: int) -> object:
    """Return a row and a group, or a group alone where no row is wanted."""
    return values(call), {"name": [call, {"x": "text", "y": np.arange(3)}], "a/b": None}


def read_all(path: Path) -> list[object]:
    """Return the value or error of every call; errors other than those of acme-io pass through."""
    found: list[object] = []
    try:
        with acme_io.open_results(path, allow_pickle=True) as results:
            for call in results:
                try:
                    found.append(call.values)
                except AcmeIOError as error:
                    found.append(error)
    except (AcmeIOError, FileNotFoundError) as error:
        found.append(error)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_undamaged_runs_have_no_problems(run, kind: str) -> None:
    done = run(lambda call: 1 / 0 if call == 4 else values(call), 6, KINDS[kind])
    assert verify(done.output_dir) == []


@pytest.mark.parametrize("make", [values, nests])
@pytest.mark.parametrize("kind", KINDS)
def test_any_flipped_byte_is_found_and_never_read_as_a_result(run, tools, kind: str, make) -> None:
    done = run(make, 4, KINDS[kind], batch=2)
    expected = read_all(done.output_dir)
    rng = random.Random(kind)
    for path in sorted(p for p in done.output_dir.rglob("*") if p.is_file()):
        whole = path.read_bytes()
        positions = set(rng.sample(range(len(whole)), 120)) | {0, 7, 100, 511, len(whole) - 1}
        for position in sorted(p for p in positions if p < len(whole)):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << rng.randrange(8)
            path.write_bytes(damaged)
            try:
                found = verify(done.output_dir)
            except AcmeIOError:
                found = [None]
            assert found, f"byte {position} of {path.name}"
            for got, value in zip(read_all(done.output_dir), expected, strict=False):
                assert isinstance(got, Exception) or tools.same(got, value)
        path.write_bytes(whole)
    assert verify(done.output_dir) == []


@pytest.mark.parametrize("kind", KINDS)
def test_truncated_and_garbled_files_raise_errors_of_acme_io(run, tools, kind: str) -> None:
    done = run(values, 4, KINDS[kind], batch=2)
    expected = read_all(done.output_dir)
    rng = random.Random(f"garble {kind}")
    for path in sorted(p for p in done.output_dir.rglob("*") if p.is_file()):
        whole = path.read_bytes()
        versions = [whole[: rng.randrange(len(whole))] for _ in range(25)]
        versions += [b"", rng.randbytes(3000), whole + b"more", whole[:512] + rng.randbytes(2000)]
        for _ in range(15):
            garbled = bytearray(whole)
            start = rng.randrange(len(whole))
            garbled[start : start + 64] = rng.randbytes(len(garbled[start : start + 64]))
            versions.append(bytes(garbled))
        for version in versions:
            path.write_bytes(version)
            for got, value in zip(read_all(done.output_dir), expected, strict=False):
                assert isinstance(got, Exception) or tools.same(got, value)
            if version != whole:
                with contextlib.suppress(AcmeIOError):
                    assert verify(done.output_dir)
        path.write_bytes(whole)


def test_large_data_is_checked_byte_by_byte(run) -> None:
    done = run(lambda call: np.arange(50_000.0), 1)
    path = Path(done.files[0])
    whole = path.read_bytes()
    for position in (len(whole) - 1, len(whole) // 2, 200_000):
        damaged = bytearray(whole)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        problems = verify(done.output_dir)
        assert [problem.calls for problem in problems] == [[0]]
        assert "f_0.h5" in problems[0].reason


def test_verify_names_the_rows_that_changed(run) -> None:
    done = run(lambda call: np.full(3, float(call)), 10, KINDS["stacked"], batch=5)
    path = Path(done.files[1])
    whole = bytearray(path.read_bytes())
    at = whole.index(np.full(3, 7.0).tobytes())
    whole[at] ^= 1
    path.write_bytes(whole)
    problems = verify(done.output_dir)
    assert len(problems) == 1
    assert "f_5-9.h5" in problems[0].reason


def test_verify_names_lost_files_and_a_lost_folder(run) -> None:
    done = run(values, 4)
    Path(done.files[2]).unlink()
    assert [problem.calls for problem in verify(done.output_dir)] == [[2]]
    shutil.rmtree(done.output_dir / "f_payload")
    assert [problem.calls for problem in verify(done.output_dir)] == [[0], [1], [2], [3]]


def test_a_payload_of_another_run_is_a_problem(run) -> None:
    done = run(values, 2)
    old = Path(done.files[0]).read_bytes()
    assert verify(done.output_dir) == []
    other = run(lambda call: values(call) + 1, 2)
    Path(done.files[0]).write_bytes(Path(other.files[0]).read_bytes())
    assert [problem.calls for problem in verify(done.output_dir)] == [[0]]
    Path(done.files[0]).write_bytes(old)


@pytest.mark.parametrize("size", [0, 1, LARGE - 1, LARGE, LARGE + 1, 4096 * 9, 4096 * 9 + 5])
def test_the_checksum_covers_every_byte(size: int) -> None:
    data = bytearray(random.Random(size).randbytes(size))
    known = checksum(data)
    for position in {0, size // 2, size - 1} if size else ():
        data[position] ^= 0x10
        assert checksum(data) != known
        data[position] ^= 0x10
    assert checksum(data) == known


def test_records_of_many_calls_are_checked_when_they_are_read(run) -> None:
    done = run(lambda call: call, 500, KINDS["single"], batch=100)
    whole = bytearray(done.container.read_bytes())
    at = whole.index(b'"arguments":{"x":321}')
    whole[at + 17] ^= 1
    done.container.write_bytes(whole)
    with acme_io.open_results(done.output_dir) as results:
        assert results.status == ["done"] * 500
        with pytest.raises(DamagedFileError, match="records"):
            results[3].arguments  # noqa: B018
    assert verify(done.output_dir)


@pytest.mark.parametrize("kind", ["single", "alike"])
def test_long_columns_are_checked_when_they_are_read(run, tmp_path: Path, kind: str) -> None:
    done = run(lambda call: call, 9000, KINDS["single"], batch=3000)
    path = done.container
    if kind == "alike":
        path = merge(path, tmp_path / "all.h5").path
    assert verify(path) == []
    with acme_io.open_results(path) as results:
        table, run_id = results.table, results.run.run_id
        expected = results.stack()
    assert (table.seconds == 0.5).all()  # although the results are closed
    assert table.workers == ["worker-0", "worker-1"]
    whole = bytearray(path.read_bytes())
    at = whole.find(np.full(9000, 0.5).tobytes())
    ranges = [range(start, start + length) for start, length, _ in read_header(path).data]
    assert sum(at in one for one in ranges) == 1
    whole[at + 40_000] ^= 1
    path.write_bytes(whole)
    assert [problem.calls for problem in verify(path)] == [[]]
    with acme_io.open_results(path) as results:
        assert results.run.run_id == run_id
        np.testing.assert_array_equal(results.stack(), expected)
        with pytest.raises(DamagedFileError, match="seconds"):
            _ = results.table.seconds


@pytest.mark.parametrize("single_file", [False, True])
def test_rows_as_long_as_a_column_are_not_mistaken_for_it(
    run, tmp_path: Path, single_file: bool
) -> None:
    n_calls = LARGE // 8  # one number per call: rows and columns have the same length
    options = StorageOptions(slots=Slots((None,)), single_file=single_file)
    done = run(float, n_calls, options, batch=n_calls)
    for path in (done.container, merge(done.container, tmp_path / "all.h5").path):
        assert verify(path) == []
        with acme_io.open_results(path) as results:
            assert (results.table.seconds == 0.5).all()
            assert results[7].values == 7.0
        whole = path.read_bytes()
        at = whole.find(np.full(n_calls, 0.5).tobytes())
        path.write_bytes(whole[: at + 9] + bytes([whole[at + 9] ^ 1]) + whole[at + 10 :])
        assert verify(path)
        with pytest.raises(DamagedFileError), acme_io.open_results(path) as results:
            _ = results.table.seconds
        path.write_bytes(whole)


def test_a_replaced_container_is_detected(run) -> None:
    done, other = (run(values, 4, KINDS["single"]) for _ in range(2))
    with acme_io.open_results(done.container) as results:
        other.container.replace(done.container)
        with pytest.raises(DamagedFileError, match="replaced"):
            _ = results.table.seconds
