"""Rebuilding, resuming and merging."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

import acme_io
from acme_io import Slots, StorageOptions
from acme_io.errors import ResultsExistError, UnknownFileError
from acme_io.runs.finished import finished_calls
from acme_io.runs.store import RunStore
from acme_io.tools.merge import merge
from acme_io.tools.rebuild import rebuild
from acme_io.tools.verify import verify

KINDS = {
    "links": StorageOptions(),
    "stacked": StorageOptions(slots=Slots((None, 2))),
    "varying": StorageOptions(slots=Slots((None, np.inf))),
    "single": StorageOptions(single_file=True),
    "stacked-single": StorageOptions(slots=Slots((2, None)), single_file=True),
    "pickles": StorageOptions(pickle=True),
}


def value(call: int) -> object:
    if call == 3:
        return {"a", call}
    if call == 4:
        raise ZeroDivisionError
    return np.full(2, float(call))


def killed(tmp_path: Path, tools, options: StorageOptions, calls: range = range(6)) -> RunStore:
    """Start a run and leave it as a killed client does: with payloads, without a container."""
    store = RunStore.create(tmp_path, "f", options, tools.new_run(8))
    for first in range(calls.start, calls.stop, 3):
        store.accept(tools.write_batch(store, value, range(first, min(first + 3, calls.stop))))
    store._finisher.close()
    store._claim.release()
    return store


@pytest.mark.parametrize("kind", KINDS)
def test_rebuild_after_a_kill(tmp_path: Path, tools, kind: str) -> None:
    killed(tmp_path, tools, KINDS[kind])
    (tmp_path / ".f.h5.0123456789ab1.tmp").write_text("half a container")
    made = rebuild(tmp_path)
    # With one file per call, failures were known only to the client that was killed.
    failed = 1 if kind in ("stacked", "varying", "single", "stacked-single") else 0
    pickled = 0 if kind == "pickles" else 1
    assert made.counts == {
        "missing": 3 - failed,
        "done": 5 - pickled,
        "failed": failed,
        "pickled": pickled,
    }
    assert made.damaged == {}
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]
    with acme_io.open_results(tmp_path, allow_pickle=True) as results:
        assert results.run.function == "f"
        assert results[3].values == {"a", 3}
        np.testing.assert_array_equal(results[5].values, [5, 5])
        assert results[5].arguments == {"x": 5}
        assert 6 in results.missing
    assert verify(tmp_path) == []


def test_rebuild_reports_unusable_files(tmp_path: Path, tools) -> None:
    killed(tmp_path, tools, KINDS["links"])
    path = tmp_path / "f_payload" / "f_1.h5"
    path.write_bytes(path.read_bytes()[:-1])
    made = rebuild(tmp_path)
    assert list(made.damaged) == ["f_payload/f_1.h5"]
    assert made.counts["done"] == 3
    assert rebuild(tmp_path / "f_payload").container == tmp_path / "f.h5"
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnknownFileError, match="no payloads"):
        rebuild(tmp_path / "empty")


def test_rebuild_of_a_lost_container(run) -> None:
    done = run(lambda call: (call, "x"), 300, StorageOptions(slots=Slots((None,))), batch=1)
    with h5py.File(done.container) as file:
        before = file["result_0"][()]
    done.container.unlink()
    rebuild(done.output_dir)
    with h5py.File(done.container) as file:
        np.testing.assert_array_equal(file["result_0"][()], before)
        assert file["comp_299/result_1"].asstr()[()] == "x"
    assert verify(done.output_dir) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("finished", [False, True])
def test_resuming_keeps_what_is_finished(tmp_path: Path, tools, kind: str, finished: bool) -> None:
    options = KINDS[kind]
    if finished:
        store = RunStore.create(tmp_path, "f", options, tools.new_run(8))
        receipts = [tools.write_batch(store, value, range(6))]
        store.accept(receipts[0])
        tools.finish(store, receipts)
        store.close()
    else:
        killed(tmp_path, tools, options)
    found = finished_calls(tmp_path, "f")
    assert found.options == options
    assert found.calls.tolist() == [0, 1, 2, 3, 5]
    assert found.matching(["x"], lambda start, stop: [[*range(start, 5), 55, 6, 7]]).tolist() == [
        0,
        1,
        2,
        3,
    ]
    keep = [0, 1, 2, 3]  # as if call 5 had other arguments now
    store = RunStore.resume(tmp_path, "f", options, found.run, keep)
    assert store.table.status.tolist()[:4] == [1, 1, 1, 1 if kind == "pickles" else 3]
    receipt = tools.write_batch(store, lambda call: np.full(2, -1.0 * call), range(4, 8), 2)
    store.accept(receipt)
    tools.finish(store, [receipt])
    files = store.payload_files()
    store.close()
    assert verify(tmp_path) == []
    with acme_io.open_results(tmp_path, allow_pickle=True) as results:
        assert results.missing == results.failed == []
        assert [call.values[1] for call in results if call.index != 3] == [0, 1, 2, -4, -5, -6, -7]
        assert results[3].values == {"a", 3}
    assert all(file is not None and Path(file).exists() for file in files)


@pytest.mark.parametrize("kind", ["single", "stacked-single"])
def test_a_killed_resumed_single_file_is_read_completely(tmp_path: Path, tools, kind) -> None:
    store = RunStore.create(tmp_path, "f", KINDS[kind], tools.new_run(8))
    receipt = tools.write_batch(store, lambda call: np.full(2, float(call)), range(4))
    store.accept(receipt)
    tools.finish(store, [receipt])
    store.close()
    found = finished_calls(tmp_path, "f")
    store = RunStore.resume(tmp_path, "f", KINDS[kind], found.run, range(4))
    store.accept(tools.write_batch(store, lambda call: np.full(2, float(call)), range(4, 6)))
    store._finisher.close()
    store._claim.release()
    with acme_io.open_results(tmp_path) as results:
        assert results.missing == [6, 7]
        assert [results[call].values[1] for call in range(6)] == [0, 1, 2, 3, 4, 5]
    assert rebuild(tmp_path).counts["done"] == 6
    assert verify(tmp_path) == []


def test_nothing_to_resume(tmp_path: Path) -> None:
    assert finished_calls(tmp_path, "f") is None
    assert finished_calls(tmp_path / "nowhere", "f") is None


def test_resuming_another_run_is_refused(tmp_path: Path, tools) -> None:
    killed(tmp_path, tools, KINDS["links"])
    with pytest.raises(ValueError, match="cannot continue"):
        RunStore.resume(tmp_path, "f", KINDS["links"], tools.new_run(8), [])
    assert not (tmp_path / ".f.claim").exists()
    assert len(os.listdir(tmp_path / "f_payload")) == 5


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "pickles"])
def test_merging_makes_one_self_contained_file(run, tmp_path: Path, kind: str) -> None:
    done = run(value, 8, KINDS[kind], batch=3)
    made = merge(done.output_dir, tmp_path / "all.h5")
    assert made.skipped == {}
    assert made.pickles == [tmp_path / "all_3.pickle"]
    done.output_dir.rename(tmp_path / "away")
    assert verify(made.path) == []
    with acme_io.open_results(made.path, allow_pickle=True) as results:
        assert results.failed == [4]
        assert results[3].values == {"a", 3}
        np.testing.assert_array_equal(results[7].values, [7, 7])
        assert results[7].arguments == {"x": 7}
        assert results.run.function == "f"
    with h5py.File(made.path) as file:
        if "result_0" in file:
            assert not file["result_0"].is_virtual
        else:
            assert isinstance(file.get("comp_7", getlink=True), h5py.HardLink)


def test_merging_leaves_out_damaged_results_and_reports_them(run, tmp_path: Path) -> None:
    done = run(lambda call: np.full(2, call), 4)
    Path(done.files[1]).unlink()
    path = Path(done.files[2])
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    made = merge(done.output_dir, tmp_path / "all")
    assert sorted(made.skipped) == [1, 2]
    with acme_io.open_results(tmp_path / "all.h5") as results:
        assert results.missing == [1, 2]
        assert results.stack(missing="mask")[3].tolist() == [3, 3]


def test_merging_keeps_other_return_values_of_stacked_results(run, tmp_path: Path) -> None:
    done = run(
        lambda call: (call, f"call {call}"), 5, StorageOptions(slots=Slots((None,))), batch=2
    )
    merge(done.output_dir, tmp_path / "all.h5")
    with acme_io.open_results(tmp_path / "all.h5") as results:
        assert results[4].values == (4.0, "call 4")
    with pytest.raises(ResultsExistError):
        merge(done.output_dir, tmp_path / "all.h5")


def test_merging_a_killed_run_reads_its_parts(tmp_path: Path, tools) -> None:
    killed(tmp_path / "out", tools, KINDS["single"])
    merge(tmp_path / "out", tmp_path / "all.h5")
    with acme_io.open_results(tmp_path / "all.h5", allow_pickle=True) as results:
        np.testing.assert_array_equal(results[5].values, [5, 5])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("received", [range(0), range(3)])
def test_results_without_a_receipt_are_adopted(
    tmp_path: Path, tools, kind: str, received: range
) -> None:
    store = RunStore.create(tmp_path, "f", KINDS[kind], tools.new_run(8))
    receipts = [tools.write_batch(store, value, received)] if received else []
    for receipt in receipts:
        store.accept(receipt)
    tools.write_batch(store, value, range(3, 6))
    # With one file per call, only the client records a failed call.
    failed = [4] if kind in ("stacked", "varying", "single", "stacked-single") else []
    assert store.adopt() == sorted([3, 5, *failed])
    assert store.table.workers[store.table.worker[5]] == "worker-1"
    store.finish()
    files = store.payload_files()
    assert store.adopt() == []
    store.close()
    assert verify(tmp_path) == []
    assert all(file is None or Path(file).exists() for file in files)
    with acme_io.open_results(tmp_path, allow_pickle=True) as results:
        assert results.failed == failed
        assert [results[call].arguments for call in failed] == [{"x": 4} for _ in failed]
        assert sorted(results.missing + results.failed) == sorted({*range(8)} - {*received, 3, 5})
        assert results[3].values == {"a", 3}
        np.testing.assert_array_equal(results[5].values, [5, 5])


@pytest.mark.parametrize("kind", KINDS)
def test_results_dropped_by_a_resumed_run_are_not_adopted(tmp_path: Path, tools, kind: str) -> None:
    killed(tmp_path, tools, KINDS[kind])
    found = finished_calls(tmp_path, "f")
    store = RunStore.resume(tmp_path, "f", KINDS[kind], found.run, [0, 1])
    assert store.adopt() == []
    tools.write_batch(store, lambda call: np.full(2, -1.0), range(5, 6), 2)
    assert store.adopt() == [5]
    store.finish()
    store.close()
    with acme_io.open_results(tmp_path, allow_pickle=True) as results:
        assert results.missing == [2, 3, 4, 6, 7]
        np.testing.assert_array_equal(results[5].values, [-1, -1])
    assert verify(tmp_path) == []


@pytest.mark.parametrize("kind", ["links", "single", "stacked"])
@pytest.mark.parametrize("odd", [False, True], ids=["all alike", "one differs"])
def test_a_merged_file_is_not_rebuilt(run, tmp_path: Path, kind: str, odd: bool) -> None:
    # Its pickle lies in the same folder, like that of a run.
    options = {
        "links": StorageOptions(),
        "single": StorageOptions(single_file=True),
        "stacked": StorageOptions(slots=Slots((None,))),
    }[kind]
    values = [0, {"a", 1}, 2, 3] if not odd or kind == "stacked" else [0, {"a", 1}, 2.5, "three"]
    done = run(lambda call: values[call], 4, options)
    (tmp_path / "m").mkdir()
    target = merge(done.output_dir, tmp_path / "m" / "all.h5").path
    before = target.read_bytes()
    for _ in range(2):
        try:
            rebuild(target.parent)
        except acme_io.AcmeIOError:
            assert target.read_bytes() == before
        with acme_io.open_results(target, allow_pickle=True) as results:
            assert all(results[call].values == values[call] for call in (0, 1, 3))
        assert verify(target) == []
