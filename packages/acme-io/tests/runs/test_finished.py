"""The finished calls of an earlier run, from its container and from newer payloads."""

import builtins
import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import acme_io
from acme_io import Slots, StorageOptions
from acme_io.backend import RunStore, finished_calls
from acme_io.layout import parse_payload_name
from acme_io.records.argument_text import argument_texts, recorded_text, text_digest
from acme_io.records.serialization import dumps
from acme_io.records.summaries import describe_all
from acme_io.tools.rebuild import rebuild
from acme_io.tools.verify import verify

KINDS = {
    "links": StorageOptions(),
    "pickles": StorageOptions(pickle=True),
    "single": StorageOptions(single_file=True),
    "stacked": StorageOptions(slots=Slots((None, 2))),
    "stacked-single": StorageOptions(slots=Slots((None, 2)), single_file=True),
    "varying": StorageOptions(slots=Slots((None, np.inf))),
}
N_CALLS = 6


def value(call: int) -> object:
    return np.full(2, float(call))


def complete(folder: Path, tools, kind: str) -> RunStore:
    store = RunStore.create(folder, "f", KINDS[kind], tools.new_run(N_CALLS))
    receipts = [tools.write_batch(store, value, range(at, at + 3)) for at in (0, 3)]
    for receipt in receipts:
        store.accept(receipt)
    # File times move on every few milliseconds only. A file as new as the container is read.
    probe = folder / "probe"
    probe.touch()
    written = probe.stat().st_mtime_ns
    while probe.stat().st_mtime_ns == written:
        probe.touch()
    probe.unlink()
    tools.finish(store, receipts)
    store.close()
    return store


def columns(start: int, stop: int) -> list[list[int]]:
    return [list(range(start, stop))]


def state(folder: Path) -> dict[Path, tuple[int, int]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


@pytest.mark.parametrize("kind", KINDS)
def test_a_complete_run_is_resumed_without_writing(tmp_path: Path, tools, kind: str) -> None:
    files = complete(tmp_path, tools, kind).payload_files()
    before = state(tmp_path)
    found = finished_calls(tmp_path, "f")
    done = found.matching(["x"], columns)
    assert done.tolist() == found.calls.tolist() == list(range(N_CALLS))
    store = RunStore.resume(tmp_path, "f", found.options, found.run, done)
    assert store.table.status.tolist() == [1] * N_CALLS
    assert store.adopt() == []
    store.finish()
    assert store.payload_files() == files
    store.close()
    if kind != "varying":  # rows of several lengths: every file is read
        assert state(tmp_path) == before
    assert verify(tmp_path) == []


@pytest.mark.parametrize("kind", ["links", "pickles"])
def test_unchanged_payloads_are_not_opened(tmp_path: Path, tools, monkeypatch, kind) -> None:
    complete(tmp_path, tools, kind)
    opened = []
    plain = builtins.open

    def counting(file, *args, **kwargs):
        opened.append(os.path.basename(os.fspath(file)) if not isinstance(file, int) else "")
        return plain(file, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", counting)
    found = finished_calls(tmp_path, "f")
    assert len(found.matching(["x"], columns)) == N_CALLS
    assert not [file for file in opened if parse_payload_name(file)]
    assert "f_record.h5" in opened or "f.h5" in opened


@pytest.mark.parametrize("kind", KINDS)
def test_other_arguments_are_found(tmp_path: Path, tools, kind: str) -> None:
    complete(tmp_path, tools, kind)
    found = finished_calls(tmp_path, "f")
    # 1.0 and True equal the 1 on record, though their texts differ.
    now = [0, 1.0, 22, 3, "4", 5]
    assert found.matching(["x"], lambda a, b: [now[a:b]]).tolist() == [0, 1, 3, 5]
    assert found.matching(["y"], columns).tolist() == []
    assert found.calls.tolist() == list(range(N_CALLS))


@pytest.mark.parametrize("kind", ["links", "pickles"])
def test_containers_without_digests_are_compared_by_record(tmp_path: Path, tools, kind) -> None:
    store = RunStore.create(tmp_path, "f", KINDS[kind], tools.new_run(N_CALLS))
    receipt = tools.write_batch(store, value, range(N_CALLS))
    receipt.arguments = None  # as in files of earlier versions
    store.accept(receipt)
    tools.finish(store, [receipt])
    store.close()
    found = finished_calls(tmp_path, "f")
    assert found.matching(["x"], lambda a, b: [[0, 1, 2, 33, 4, 5]]).tolist() == [0, 1, 2, 4, 5]


@pytest.mark.parametrize("change", ["removed", "truncated", "other run", "exchanged", "renamed"])
@pytest.mark.parametrize("kind", ["links", "pickles"])
def test_a_payload_changed_after_the_container_is_noticed(
    tmp_path: Path, tools, kind: str, change: str
) -> None:
    folder, other = tmp_path / "a", tmp_path / "b"
    files = complete(folder, tools, kind).payload_files()
    path, second = Path(files[2]), Path(files[4])
    if change == "removed":
        path.unlink()
    elif change == "truncated":
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        os.utime(path, (1, 1))
    elif change == "other run":
        foreign = Path(complete(other, tools, kind).payload_files()[2])
        os.utime(foreign, (1, 1))
        shutil.move(foreign, path)
    elif change == "exchanged":
        spare = folder / "spare"
        path.rename(spare)
        second.rename(path)
        spare.rename(second)
    else:
        path.rename(path.with_name("unknown"))
    found = finished_calls(folder, "f")
    # Exchanged files say themselves which call they hold. With files of two runs, the later run
    # counts; its one file is that of call 2.
    expected = {"exchanged": set(range(N_CALLS)), "other run": {2}}
    assert set(found.calls.tolist()) == expected.get(change, set(range(N_CALLS)) - {2})


def test_functions_with_similar_names_are_told_apart(tmp_path: Path, tools) -> None:
    store = RunStore.create(tmp_path, "f_record", StorageOptions(), tools.new_run(N_CALLS))
    store.accept(receipt := tools.write_batch(store, value, range(N_CALLS)))
    tools.finish(store, [receipt])
    store.close()
    assert finished_calls(tmp_path, "f") is None
    assert len(finished_calls(tmp_path, "f_record").calls) == N_CALLS


@pytest.mark.parametrize("kind", ["links", "pickles"])
def test_a_rebuilt_container_compares_without_opening_payloads(
    tmp_path: Path, tools, kind: str
) -> None:
    complete(tmp_path, tools, kind)
    (tmp_path / ("f_record.h5" if kind == "pickles" else "f.h5")).unlink()
    rebuild(tmp_path)
    with h5py.File(tmp_path / ("f_record.h5" if kind == "pickles" else "f.h5")) as file:
        digests = file.attrs["arguments"].tolist()
    assert digests == [text_digest(f'{{"x":{call}}}') for call in range(N_CALLS)]


def test_a_lost_batch_file_is_noticed(tmp_path: Path, tools) -> None:
    files = complete(tmp_path, tools, "stacked").payload_files()
    Path(files[0]).unlink()
    assert finished_calls(tmp_path, "f").calls.tolist() == [3, 4, 5]


@pytest.mark.parametrize("kind", KINDS)
def test_payloads_newer_than_the_container_count(tmp_path: Path, tools, kind: str) -> None:
    store = RunStore.create(tmp_path, "f", KINDS[kind], tools.new_run(N_CALLS))
    receipt = tools.write_batch(store, value, range(2))
    store.accept(receipt)
    tools.finish(store, [receipt])
    store.close()
    found = finished_calls(tmp_path, "f")
    store = RunStore.resume(tmp_path, "f", found.options, found.run, found.calls)
    tools.write_batch(store, value, range(2, 5))
    store._finisher.close()  # the client is killed before it writes a container
    store._claim.release()
    found = finished_calls(tmp_path, "f")
    assert found.calls.tolist() == [0, 1, 2, 3, 4]
    assert found.matching(["x"], columns).tolist() == [0, 1, 2, 3, 4]
    store = RunStore.resume(tmp_path, "f", found.options, found.run, found.calls)
    store.finish()
    store.close()
    with acme_io.open_results(tmp_path, allow_pickle=True) as results:
        assert results.missing == [5]
        for call in range(5):
            np.testing.assert_array_equal(results[call].values, value(call))
    assert verify(tmp_path) == []


def test_a_container_put_back_does_not_hide_newer_payloads(tmp_path: Path, tools) -> None:
    store = RunStore.create(tmp_path, "f", StorageOptions(), tools.new_run(N_CALLS))
    receipt = tools.write_batch(store, value, range(2))
    store.accept(receipt)
    tools.finish(store, [receipt])
    store.close()
    saved = store.container.read_bytes()
    found = finished_calls(tmp_path, "f")
    store = RunStore.resume(tmp_path, "f", found.options, found.run, found.calls)
    tools.write_batch(store, lambda call: np.full(2, -1.0), range(1, 4), attempt=2)
    store.close()
    store.container.write_bytes(saved)
    found = finished_calls(tmp_path, "f")
    assert found.calls.tolist() == [0, 1, 2, 3]


VALUES = st.one_of(
    st.integers(),
    st.floats(),
    st.text(max_size=250),
    st.none(),
    st.booleans(),
    st.binary(max_size=3),
    st.lists(st.integers(), max_size=2),
)
COLUMN = st.one_of(
    *(
        st.lists(one, min_size=3, max_size=3)
        for one in (VALUES, st.integers(), st.floats(allow_nan=False), st.text())
    )
)


@given(st.dictionaries(st.text(max_size=5), COLUMN, max_size=3))
def test_texts_of_many_calls_are_those_of_their_records(arguments: dict[str, list[object]]) -> None:
    names, values = list(arguments), list(arguments.values())
    expected = [
        dumps(describe_all({name: column[at] for name, column in arguments.items()}))
        for at in range(3)
    ]
    assert argument_texts(names, values, 3) == expected
    lines = [f'{{"call":0,"arguments":{text}}}' for text in expected]
    assert list(map(recorded_text, lines)) == expected
