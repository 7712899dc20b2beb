"""One file per call, and pickles: names, contents, failures, retries, file modes, run locks."""

import json
import os
import pickle
import stat
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import acme_io
from acme_io import StorageOptions
from acme_io.errors import (
    FailedCallError,
    NotStorableError,
    OutputDirError,
    PicklesRefusedError,
    ResultsExistError,
    RunLockError,
)
from acme_io.layout import clean_name, parse_payload_name, temporary_name
from acme_io.records.call_table import CallTable
from acme_io.runs.output_dir import check_output_dir
from acme_io.runs.store import RunStore


def multiply(call: int) -> int:
    return (2 * (call + 1) + 4) * 3


def test_names_and_contents_of_the_user_guide(run) -> None:
    done = run(multiply, 4)
    folder = done.output_dir
    assert done.files == [str(folder / "f_payload" / f"f_{call}.h5") for call in range(4)]
    assert done.container == folder / "f.h5"
    assert sorted(os.listdir(folder)) == ["f.h5", "f_payload"]
    assert sorted(os.listdir(folder / "f_payload")) == [f"f_{call}.h5" for call in range(4)]
    with h5py.File(done.container, "r") as file:
        assert list(file) == ["comp_0", "comp_1", "comp_2", "comp_3"]
        assert list(file["comp_0"]) == ["result_0"]
        assert [str(file[f"comp_{i}"]["result_0"][()]) for i in range(4)] == [
            "[18]",
            "[24]",
            "[30]",
            "[36]",
        ]
        link = file.get("comp_3", getlink=True)
        assert (link.filename, link.path) == ("f_payload/f_3.h5", "/")


def test_container_lists_members_in_the_order_of_calls(run) -> None:
    done = run(multiply, 12)
    with h5py.File(done.container, "r") as file:
        # h5py lists members in this order from version 3.13 on.
        root = file.id.links
        names: list[bytes] = []
        root.iterate(names.append, idx_type=h5py.h5.INDEX_CRT_ORDER)
        assert names == [b"comp_%d" % call for call in range(12)]


def test_attributes_longer_than_64_kb(run) -> None:
    done = run(lambda call: call, 9000, batch=500)
    with acme_io.open_results(done.container) as results:
        assert len(results) == 9000
        assert results.table.status.tolist() == [1] * 9000
    with h5py.File(done.container, "r") as file:
        assert file.attrs["started"].shape == (9000,)


def test_record_of_a_run(run) -> None:
    done = run(multiply, 3)
    with acme_io.open_results(done.output_dir) as results:
        assert (results.run.function, results.run.module) == ("f", "__main__")
        assert (results.run.host, results.run.seed) == ("laptop", 7)
        assert results.run.shared == {"y": 4}
        record = results[2].record
        assert results.table.workers == ["worker-0", "worker-1"]
        assert results.arguments == [{"x": 0}, {"x": 1}, {"x": 2}]
        assert results.finished > results.run.started
    assert record["arguments"] == {"x": 2}
    assert (record["worker"], record["attempt"], record["seconds"]) == ("worker-0", 1, 0.5)


def test_failed_calls_leave_no_file_but_a_reason(run) -> None:
    done = run(lambda call: 1 / (call - 1), 3)
    assert done.files[1] is None
    assert sorted(os.listdir(done.output_dir / "f_payload")) == ["f_0.h5", "f_2.h5"]
    with h5py.File(done.container, "r") as file:
        assert list(file) == ["comp_0", "comp_2"]
    with acme_io.open_results(done.output_dir) as results:
        assert results.failed == [1]
        assert results.status == ["done", "failed", "done"]
        assert results[1].failure.type == "ZeroDivisionError"
        with pytest.raises(FailedCallError, match="division by zero"):
            results[1].values  # noqa: B018
        with pytest.raises(FailedCallError):
            results.stack()
        assert results.stack(missing="mask").tolist() == [-1.0, None, 1.0]


def test_retry_replaces_the_payload(tmp_path: Path, tools) -> None:
    store = RunStore.create(tmp_path, "f", StorageOptions(), tools.new_run(2))
    receipts = [
        tools.write_batch(store, lambda call: "first", range(2)),
        tools.write_batch(store, lambda call: {1: "second"}, range(1, 2), attempt=2),
        tools.write_batch(store, lambda call: {1: "second"}, range(1), attempt=2),
        tools.write_batch(store, lambda call: "third", range(1), attempt=3),
    ]
    for receipt in receipts:
        store.accept(receipt)
    tools.finish(store, receipts)
    store.close()
    assert sorted(os.listdir(tmp_path / "f_payload")) == ["f_0.h5", "f_1.pickle"]
    with acme_io.open_results(tmp_path, allow_pickle=True) as results:
        assert results[0].values == "third"
        assert results[1].values == {1: "second"}
        assert results[0].record["attempt"] == 3


def test_unstorable_value_is_pickled_and_others_are_not(run) -> None:
    done = run(lambda call: {call} if call == 1 else call, 3)
    assert [Path(file).name for file in done.files] == ["f_0.h5", "f_1.pickle", "f_2.h5"]
    assert "set" in done.notes[1]
    with h5py.File(done.container, "r") as file:
        assert list(file) == ["comp_0", "comp_2"]
    with open(done.files[1], "rb") as file:
        assert pickle.load(file) == {1}
    with acme_io.open_results(done.output_dir) as results:
        assert results[1].status == "pickled"
        with pytest.raises(PicklesRefusedError, match="allow_pickle=True"):
            results[1].values  # noqa: B018
        assert results[1].arguments == {"x": 1}


class Stubborn:
    def __reduce__(self):
        raise TypeError("not today")


def test_neither_storable_nor_picklable_fails_that_call_alone(run) -> None:
    done = run(lambda call: Stubborn() if call == 1 else call, 3)
    assert isinstance(done.errors[1], NotStorableError)
    assert "Stubborn" in str(done.errors[1])
    assert "not today" in str(done.errors[1])
    with acme_io.open_results(done.output_dir) as results:
        assert results.status == ["done", "failed", "done"]
    assert sorted(os.listdir(done.output_dir / "f_payload")) == ["f_0.h5", "f_2.h5"]


def test_pickles_hold_nothing_but_the_return_value(run) -> None:
    done = run(lambda call: {"a": call} if call else 1 / 0, 3, StorageOptions(pickle=True))
    assert done.container is None
    assert done.files[1:] == [str(done.output_dir / f"f_{call}.pickle") for call in (1, 2)]
    assert sorted(os.listdir(done.output_dir)) == ["f_1.pickle", "f_2.pickle", "f_record.h5"]
    with open(done.files[2], "rb") as file:
        assert pickle.load(file) == {"a": 2}
    with acme_io.open_results(done.output_dir, allow_pickle=True) as results:
        assert results.status == ["failed", "done", "done"]
        assert results[2].values == {"a": 2}
        assert results[2].arguments == {"x": 2}
    with acme_io.open_results(done.output_dir) as results, pytest.raises(PicklesRefusedError):
        results[1].values  # noqa: B018


def test_single_file_and_pickle_cannot_be_combined() -> None:
    with pytest.raises(ValueError, match="single_file"):
        StorageOptions(single_file=True, pickle=True)


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_file_modes_follow_the_umask(run, umask: int) -> None:
    before = os.umask(umask)
    try:
        done = run(lambda call: [1, {}, np.ones(200_000)][call], 3)
        single = run(lambda call: call, 3, StorageOptions(single_file=True))
    finally:
        os.umask(before)
    for path in [*done.output_dir.rglob("*.*"), *single.output_dir.rglob("*.*")]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask, path


def test_results_are_never_overwritten(run, tools) -> None:
    done = run(multiply, 2)
    before = {path: path.read_bytes() for path in done.output_dir.rglob("*.h5")}
    with pytest.raises(ResultsExistError, match=r"resume=True.*output_dir"):
        RunStore.create(done.output_dir, "f", StorageOptions(), tools.new_run(2))
    with pytest.raises(ResultsExistError):
        check_output_dir(done.output_dir, "f")
    assert {path: path.read_bytes() for path in done.output_dir.rglob("*.h5")} == before
    check_output_dir(done.output_dir, "g")


def test_unrelated_file_named_like_the_container_is_kept(tmp_path: Path, tools) -> None:
    (tmp_path / "f.h5").write_text("my own file")
    with pytest.raises(ResultsExistError):
        RunStore.create(tmp_path, "f", StorageOptions(), tools.new_run(2))
    assert (tmp_path / "f.h5").read_text() == "my own file"


def test_two_functions_share_a_folder(tmp_path: Path, tools) -> None:
    tools.run(tmp_path, lambda call: 1, 2, name="f")
    tools.run(tmp_path, lambda call: 2, 2, name="f_1")
    assert acme_io.open_results(tmp_path / "f.h5")[0].values == 1
    assert acme_io.open_results(tmp_path / "f_1_payload")[0].values == 2
    with pytest.raises(acme_io.AcmeIOError, match=r"f\.h5, f_1\.h5"):
        acme_io.open_results(tmp_path)


def test_unusable_output_directory(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for path in (file, file / "below"):
        with pytest.raises(OutputDirError, match="file"):
            check_output_dir(path, "f")
    check_output_dir(tmp_path / "new" / "deep", "f")
    assert sorted(os.listdir(tmp_path)) == ["file"]


def test_output_directory_without_write_permission(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(os, "access", lambda *args: False)  # root may write everywhere
    with pytest.raises(OutputDirError, match="cannot be written"):
        check_output_dir(tmp_path, "f")


def test_a_second_run_is_refused_with_host_and_process(tmp_path: Path, tools) -> None:
    store = RunStore.create(tmp_path, "f", StorageOptions(), tools.new_run(2))
    with pytest.raises(RunLockError, match=rf"process {os.getpid()} on host"):
        RunStore.create(tmp_path, "f", StorageOptions(), tools.new_run(2))
    other = RunStore.create(tmp_path, "g", StorageOptions(), tools.new_run(2))
    other.close(discard=True)
    store.close()
    assert [p.name for p in tmp_path.iterdir() if "claim" in p.name] == []


def test_lock_of_a_dead_process_is_taken_over(tmp_path: Path, tools) -> None:
    code = (
        "import sys, os, pathlib; from acme_io.runs.run_lock import RunLock; "
        f"RunLock(pathlib.Path({str(tmp_path)!r}), 'f'); os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    assert (tmp_path / ".f.claim").exists()
    store = RunStore.create(tmp_path, "f", StorageOptions(), tools.new_run(2))
    assert json.loads((tmp_path / ".f.claim").read_text())["pid"] == os.getpid()
    store.close()


def test_lock_of_another_host_counts_until_it_is_stale(tmp_path: Path, tools) -> None:
    claim = tmp_path / ".f.claim"
    claim.write_text(json.dumps({"host": "elsewhere", "pid": 1, "process": "x"}))
    with pytest.raises(RunLockError, match="process 1 on host elsewhere"):
        RunStore.create(tmp_path, "f", StorageOptions(), tools.new_run(2))
    os.utime(claim, (1, 1))
    RunStore.create(tmp_path, "f", StorageOptions(), tools.new_run(2)).close()
    assert not claim.exists()


def test_discard_removes_only_files_of_the_run(tmp_path: Path, tools) -> None:
    new = tmp_path / "new" / "deep"
    store = RunStore.create(new, "f", StorageOptions(), tools.new_run(2))
    store.accept(tools.write_batch(store, multiply, range(2)))
    store.close(discard=True)
    assert os.listdir(tmp_path) == []

    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").touch()
    store = RunStore.create(mine, "f", StorageOptions(pickle=True), tools.new_run(2))
    assert not store.created_output_dir
    store.accept(tools.write_batch(store, multiply, range(2)))
    store.close(discard=True)
    assert os.listdir(mine) == ["notes.txt"]


def test_a_partial_run_has_a_valid_container(run) -> None:
    done = run(multiply, 10, only=range(2, 6))
    with acme_io.open_results(done.output_dir) as results:
        assert results.missing == [0, 1, 6, 7, 8, 9]
        assert results[3].values == multiply(3)
        with pytest.raises(acme_io.AcmeIOError, match="resume=True"):
            results[0].values  # noqa: B018


def test_removed_payload_folder_fails_the_affected_calls(tmp_path: Path, tools) -> None:
    store = RunStore.create(tmp_path / "out", "f", StorageOptions(), tools.new_run(2))
    (tmp_path / "out" / "f_payload").rmdir()
    receipt = tools.write_batch(store, lambda call: [1, {}][call], range(2))
    assert [type(receipt.errors[call]) for call in range(2)] == [FileNotFoundError] * 2
    store.close()


def test_no_temporary_file_remains(run) -> None:
    done = run(lambda call: [1, {}, Stubborn(), np.ones(200_000)][call % 4], 8)
    hidden = [p for p in done.output_dir.rglob("*") if p.name.startswith(".")]
    assert hidden == []


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("<lambda>", "lambda"),
        ("f", "f"),
        ("a/b\\c:d", "a_b_c_d"),
        ("..", "function"),
        ("größe", "größe"),
        ("CON", "CON_"),
        ("x" * 300, "x" * 100),
        ("ü" * 300, "ü" * 50),
        ("con.txt", "con_.txt"),  # Windows compares the part before the first dot
        ("COM¹", "COM¹_"),
        ("context", "context"),
    ],
)
def test_function_names_become_file_names(name: str, cleaned: str) -> None:
    assert clean_name(name) == cleaned


def test_payload_names_are_parsed() -> None:
    assert parse_payload_name("f_1_3.h5") == ("f_1", range(3, 4), "h5")
    assert parse_payload_name("f_0-99.part.h5") == ("f", range(100), "part.h5")
    for other in ("f.h5", "f_record.h5", ".f_1.h5.abc.tmp", "f_9-3.h5", "f_1.h5.bak"):
        assert parse_payload_name(other) is None


@pytest.mark.parametrize(
    ("file", "removed"),
    [
        ("f.h5", True),
        ("f_record.h5", True),
        ("f_3.pickle", True),
        ("f_payload/f_3.h5", True),
        (".f_parts/f_0-9.part.h5", True),
        ("f_1.h5", False),  # the container of a function f_1, which may be running
        ("f_1_2.pickle", False),
        ("g.h5", False),
    ],
)
def test_a_run_removes_temporary_files_of_its_own_function_only(
    tmp_path: Path, tools, file: str, removed: bool
) -> None:
    store = RunStore.create(tmp_path, "f", StorageOptions(), tools.new_run(2))
    folder, _, name = file.rpartition("/")
    left = tmp_path / folder / temporary_name(name, "0123456789ab1")
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(b"left by a killed run")
    store.close()
    assert left.exists() is not removed


def test_copied_table_is_independent() -> None:
    table = CallTable(3)
    twin = table.copy()
    twin.status[0] = 1
    assert table.status[0] == 0
    assert len(twin) == 3
