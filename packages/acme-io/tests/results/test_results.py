"""Results can be read after a move, from a read-only copy, and while they are open elsewhere."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import acme_io
from acme_io import Slots, StorageOptions
from acme_io.errors import DamagedFileError, MissingCallError, UnknownFileError
from acme_io.runs.store import RunStore

KINDS = {
    "links": StorageOptions(),
    "stacked": StorageOptions(slots=Slots((None,), "float")),
    "single": StorageOptions(single_file=True),
    "stacked-single": StorageOptions(slots=Slots((None,), "float"), single_file=True),
    "pickles": StorageOptions(pickle=True),
}


@pytest.fixture(params=KINDS)
def done(request, run):
    return run(lambda call: 1.5 * call, 10, KINDS[request.param])


def check(path: Path) -> None:
    with acme_io.open_results(path, allow_pickle=True) as results:
        assert [call.values for call in results] == [1.5 * call for call in range(10)]
        assert results.status == ["done"] * 10
        np.testing.assert_array_equal(results.stack(), 1.5 * np.arange(10))


def test_every_path_of_a_run_opens_its_results(done) -> None:
    check(done.output_dir)
    check(done.container or done.output_dir / "f_record.h5")
    if (done.output_dir / "f_payload").exists():
        check(done.output_dir / "f_payload")


def test_a_folder_can_be_moved_renamed_and_copied(done, tmp_path: Path) -> None:
    odd = tmp_path / "Maße und Gewichte" / "renamed"
    shutil.copytree(done.output_dir, odd)
    shutil.rmtree(done.output_dir)
    check(odd)
    if done.container is not None and not (odd / "f_payload").exists():
        with h5py.File(odd / "f.h5") as file:
            assert len(file) in (1, 10)


def test_plain_h5py_follows_the_links_after_a_move(run, tmp_path: Path) -> None:
    for kind in ("links", "stacked"):
        done = run(lambda call: 1.5 * call, 10, KINDS[kind])
        moved = tmp_path / f"moved {kind}"
        done.output_dir.rename(moved)
        with h5py.File(moved / "f.h5") as file:
            got = file["result_0"][7] if kind == "stacked" else file["comp_7/result_0"][0]
            assert got == 10.5


def test_a_relative_output_directory(tmp_path: Path, tools, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = tools.run(Path("out"), lambda call: 1.5 * call, 10)
    assert all(os.path.isabs(file) for file in done.files)
    check(Path("out"))
    monkeypatch.chdir("/")
    check(tmp_path / "out")


def test_a_read_only_copy(done) -> None:
    for path in done.output_dir.rglob("*"):
        path.chmod(0o444 if path.is_file() else 0o555)
    done.output_dir.chmod(0o555)
    try:
        check(done.output_dir)
        assert not list(done.output_dir.glob(".*"))
    finally:
        for path in [done.output_dir, *done.output_dir.rglob("*")]:
            path.chmod(0o755)


def test_a_decoy_in_the_current_directory_is_not_read(run, tmp_path: Path, monkeypatch) -> None:
    for kind in ("links", "stacked"):
        done = run(lambda call: 1.5 * call, 10, KINDS[kind])
        decoy = run(lambda call: -1.0, 10, KINDS[kind])
        shutil.rmtree(done.output_dir / "f_payload")
        monkeypatch.chdir(decoy.output_dir)
        with acme_io.open_results(done.output_dir) as results:
            assert results.missing == list(range(10))
            with pytest.raises(MissingCallError, match="gone"):
                results[3].values  # noqa: B018


def test_a_payload_of_another_run_or_call_is_rejected(run) -> None:
    done, other = (run(lambda call: 1.5 * call, 4) for _ in range(2))
    shutil.copy(other.files[1], done.files[1])
    shutil.copy(done.files[3], done.files[2])
    with acme_io.open_results(done.output_dir) as results:
        for call in (1, 2):
            with pytest.raises(MissingCallError, match="belongs to run"):
                results[call].values  # noqa: B018
        assert results[3].values == 4.5


def test_files_that_are_open_elsewhere(done) -> None:
    paths = list(done.output_dir.rglob("*.h5"))
    holders = [h5py.File(path, "r") for path in paths]
    check(done.output_dir)
    results = acme_io.open_results(done.output_dir, allow_pickle=True)
    assert results[3].values == 4.5
    for holder in holders:
        holder.close()
    for path in paths:  # while acme-io has them open
        h5py.File(path, "r").close()
    results.close()


def test_reading_takes_no_lock(run) -> None:
    """Neither a writer's lock nor a file system without locks keeps a reader out."""
    done = run(lambda call: 1.5 * call, 10, KINDS["single"])
    code = (
        "import sys, fcntl; f = open(sys.argv[1], 'r+'); fcntl.flock(f, fcntl.LOCK_EX);"
        "print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(done.container)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout.readline().strip() == "open"
        check(done.container)
        holder.stdin.close()


def test_results_are_a_sequence(run) -> None:
    done = run(lambda call: (call, str(call)), 5)
    results = acme_io.open_results(done.output_dir)
    assert len(results) == 5
    assert results[-1].index == 4
    assert [call.index for call in results[1:3]] == [1, 2]
    assert results[2].result_1 == "2"
    assert results.stack(1).tolist() == list("01234")
    with pytest.raises(IndexError, match="5 calls"):
        results[5]
    with pytest.raises(AttributeError, match="result_2"):
        results[2].result_2  # noqa: B018
    with pytest.raises(AttributeError):
        results[2].result_x  # noqa: B018
    assert "5 calls" in repr(results)
    assert repr(results[3]) == "<Call 3: done>"


def test_results_of_different_shapes_cannot_be_stacked(run) -> None:
    done = run(lambda call: np.ones(call), 3)
    with acme_io.open_results(done.output_dir) as results:
        with pytest.raises(ValueError, match="different shapes"):
            results.stack()
        with pytest.raises(ValueError, match="missing must be"):
            results.stack(missing="ignore")


def test_chunks_hold_all_calls(done) -> None:
    with acme_io.open_results(done.output_dir, allow_pickle=True) as results:
        for size in (None, 3, 100):
            pieces = list(results.chunks(size=size))
            joined = np.concatenate([piece for _, piece in pieces])
            np.testing.assert_array_equal(joined, 1.5 * np.arange(10))


def test_other_files_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        acme_io.open_results(tmp_path / "nothing")
    with pytest.raises(UnknownFileError, match="no results"):
        acme_io.open_results(tmp_path)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    (tmp_path / "text.h5").write_text("text")
    (tmp_path / "empty.h5").touch()
    for name in ("other.h5", "text.h5", "empty.h5"):
        with pytest.raises(UnknownFileError, match="not written by acme-io"):
            acme_io.open_results(tmp_path / name)


def test_a_later_format_version_is_refused(run) -> None:
    done = run(lambda call: call, 1)
    content = done.container.read_bytes()
    done.container.write_bytes(content.replace(b"ACME-IO 2 ", b"ACME-IO 9 ", 1))
    with pytest.raises(UnknownFileError, match="Update acme-io"):
        acme_io.open_results(done.output_dir)


def test_a_truncated_payload_is_named(run) -> None:
    done = run(lambda call: np.ones(1000), 3)
    path = Path(done.files[1])
    path.write_bytes(path.read_bytes()[:5000])
    with acme_io.open_results(done.output_dir) as results:
        with pytest.raises(DamagedFileError, match=r"f_1\.h5 is damaged: it has 5000 bytes"):
            results[1].values  # noqa: B018
        assert results.stack(missing="mask").mask[:, 0].tolist() == [False, True, False]


@pytest.mark.parametrize("kind", KINDS)
def test_an_unfinished_run_is_read_from_its_payloads(tmp_path: Path, tools, kind: str) -> None:
    store = RunStore.create(tmp_path, "f", KINDS[kind], tools.new_run(6))
    for calls in (range(2), range(2, 4)):
        store.accept(tools.write_batch(store, lambda call: 1.5 * call, calls))
    with acme_io.open_results(tmp_path, allow_pickle=True) as results:
        assert results.status == ["done"] * 4 + ["missing"] * 2
        assert [call.values for call in results[:4]] == [0, 1.5, 3, 4.5]
        assert results.stack(missing="mask").tolist() == [0, 1.5, 3, 4.5, None, None]
        assert results.arguments[3] == {"x": 3}
    store.close()


@pytest.mark.parametrize("stacked", [False, True])
def test_a_reader_learns_that_the_run_has_ended(tmp_path: Path, tools, stacked: bool) -> None:
    options = StorageOptions(slots=Slots((None,)) if stacked else None, single_file=True)
    store = RunStore.create(tmp_path, "f", options, tools.new_run(4))
    receipts = [
        tools.write_batch(store, float, range(2)),
        tools.write_batch(store, float, range(2, 4)),
    ]
    with acme_io.open_results(tmp_path) as results:
        assert results[0].values == 0
        for receipt in receipts:
            store.accept(receipt)
        tools.finish(store, receipts)
        store.close()
        with pytest.raises(MissingCallError, match=r"put its parts together.*f\.h5 again"):
            _ = results[3].values
    with acme_io.open_results(tmp_path) as results:
        assert results[3].values == 3


def test_repr_works_after_the_files_are_gone(run) -> None:
    done = run(lambda call: call, 2)
    with acme_io.open_results(done.output_dir) as results:
        shutil.rmtree(done.output_dir)
        assert repr(results) == f"<Results of f: 2 calls in {done.container}>"
        assert results.missing == [0, 1]
