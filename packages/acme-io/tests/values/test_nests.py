"""Dicts, lists and tuples are groups that plain h5py reads, and come back exactly."""

import collections
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import acme_io
from acme_io import Slots, StorageOptions
from acme_io.errors import NotStorableError
from acme_io.tools.merge import merge
from acme_io.tools.rebuild import rebuild
from acme_io.tools.verify import verify
from acme_io.values.encoding import decode, encode
from acme_io.values.names import member_name

Fit = collections.namedtuple("Fit", "slope error")

WAYS = {
    "links": StorageOptions(),
    "single": StorageOptions(single_file=True),
    "stacked": StorageOptions(slots=Slots((None, 3))),
    "stacked-single": StorageOptions(slots=Slots((None, 3)), single_file=True),
}

NESTS = [
    {"a": np.ones(3), "b": {"x": 1, "y": [1, "a", np.ones((2, 2))]}},
    {},
    {"none": None, "text": "ü", "bytes": b"\0", "empty": [], "tuple": (1, 2), "mixed": (1, "a")},
    {"large": np.arange(20_000.0), "small": np.float32(1)},
    {"fit": Fit(1.5, [{}, ()])},
    {"b": 1, "a": 2, "c": 3},
    {"a/b": 1, "": 2, ".": 3, "..": 4, "%": 5, "a%2Fb": 6, "nul\0": 7, "\ud800": 8, "Größe": 9},
    {"x" * 300: 1, "x" * 301: 2, "result_0": 3, "../x": 4, "/": 5},
    ({"a": 1}, [{"b": 2}, {"b": 3}]),
]


def stored(way: str, value: object) -> object:
    """Return what a call returns so that the value is stored as a group in this way."""
    return (np.ones(3), value) if way.startswith("stacked") else value


@pytest.mark.parametrize("way", WAYS)
def test_nests_come_back_in_every_way_of_storing(run, tools, tmp_path: Path, way: str) -> None:
    done = run(lambda call: stored(way, NESTS[call]), len(NESTS), WAYS[way], batch=4)
    assert not done.errors
    assert not done.notes
    target = merge(done.output_dir, tmp_path / "merged.h5").path
    for path in (done.output_dir, target):
        assert verify(path) == []
        with acme_io.open_results(path) as results:
            for call, value in zip(results, NESTS, strict=True):
                assert tools.same(call.values, stored(way, value))
                last = call.result_1 if way.startswith("stacked") else None
                assert last is None or tools.same(last, value)


@pytest.mark.parametrize("way", ["links", "stacked"])
def test_nests_are_rebuilt(run, tools, way: str) -> None:
    done = run(lambda call: stored(way, NESTS[call]), len(NESTS), WAYS[way], batch=4)
    done.container.unlink()
    assert rebuild(done.output_dir).counts["done"] == len(NESTS)
    assert verify(done.output_dir) == []
    with acme_io.open_results(done.output_dir) as results:
        for call, value in zip(results, NESTS, strict=True):
            assert tools.same(call.values, stored(way, value))


def test_one_of_several_values_is_read(run, tools) -> None:
    done = run(lambda call: (NESTS[0], 5, NESTS[4]), 1)
    with acme_io.open_results(done.output_dir) as results:
        assert tools.same(results[0].result_0, NESTS[0])
        assert results[0].result_1 == 5
        assert tools.same(results[0].result_2, NESTS[4])
        with pytest.raises(AttributeError, match="no result_3"):
            results[0].result_3  # noqa: B018


@pytest.mark.parametrize("way", ["links", "single"])
def test_plain_h5py_reads_groups(run, way: str) -> None:
    value = {"z": np.arange(3), "a": {"x": "text"}, "l": [1, "a"], "n": None}
    done = run(lambda call: value, 1, WAYS[way])
    with h5py.File(done.container, "r") as file:
        group = file["comp_0/result_0"]
        assert group.attrs["kind"].decode() == "dict"
        assert list(group) == ["z", "a", "l", "n"]
        assert group["z"][:].tolist() == [0, 1, 2]
        assert group["a/x"].asstr()[()] == "text"
        assert group["l"].attrs["kind"].decode() == "list"
        assert list(group["l"]) == ["0", "1"]
        assert group["n"].shape is None


def test_files_without_groups_keep_their_version(run) -> None:
    done = run(lambda call: [1, {"a": 1}][call], 2)
    versions = [Path(file).read_bytes()[:10] for file in done.files]
    assert versions == [b"ACME-IO 2 ", b"ACME-IO 3 "]
    assert done.container.read_bytes()[:10] == b"ACME-IO 2 "


@pytest.mark.parametrize("way", ["single", "stacked", "stacked-single"])
def test_files_with_groups_have_the_new_version(run, tmp_path: Path, way: str) -> None:
    done = run(lambda call: stored(way, {"a": call}), 2, WAYS[way])
    holder = done.container if "single" in way else Path(done.files[0])
    assert holder.read_bytes()[:10] == b"ACME-IO 3 "
    target = merge(done.output_dir, tmp_path / "merged.h5").path
    assert target.read_bytes()[:10] == b"ACME-IO 3 "


def containing_itself() -> list[object]:
    alone: list[object] = []
    alone.append(alone)
    twice: list[object] = []
    twice += [twice, twice]
    within: dict[str, object] = {}
    within["list"] = [1, {"dict": within}]
    deep: list[object] = ["end"]
    for _ in range(100_000):
        deep = ["level", deep]
    return [alone, twice, within, (within,), deep, {"a": deep}]


@pytest.mark.parametrize("value", containing_itself(), ids=range(6))
def test_recursion_is_bounded(value: object) -> None:
    with pytest.raises(NotStorableError, match=r"contains itself|more than 32 levels"):
        encode(value)


def test_the_number_of_members_is_bounded() -> None:
    doubled: object = {"a": 1}
    for _ in range(30):
        doubled = {"left": doubled, "right": doubled}
    for value in (doubled, {str(n): n for n in range(10_001)}):
        with pytest.raises(NotStorableError, match="more than 10000 members"):
            encode(value)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({1: 2}, "keys of dicts must be text"),
        ({"a": {1, 2}}, "type builtins.set"),
        ({"a": [1, {None: 1}]}, "the key None"),
        ([{"a": 1}, Exception()], "type builtins.Exception"),
    ],
)
def test_the_reason_names_what_cannot_be_stored(value: object, reason: str) -> None:
    with pytest.raises(NotStorableError, match=reason):
        encode(value)


texts = st.one_of(
    st.text(max_size=5),
    st.text(st.characters(exclude_categories=()), max_size=5),
    st.text("./%\0aF2", max_size=4),
    st.sampled_from(["a" * 300, "/" * 80]),
)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    texts,
    st.binary(max_size=4),
    hnp.arrays(
        st.sampled_from(["f8", "i2", "?", "S3", "U3", "M8[us]", "c16"]),
        hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3),
    ),
)
nests = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.dictionaries(texts, inner, max_size=4),
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.tuples(inner, inner).map(Fit._make),
    ),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=nests)
def test_encoding_loses_nothing(tools, value: object) -> None:
    encoded, form = encode(value)
    from acme_io.hdf5.members import fields_of

    fields, arrays = fields_of(encoded)
    assert len({field.path for field in fields}) == len(fields)
    assert tools.same(decode(arrays, json.loads(json.dumps(form))), value)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=80
)
@given(values=st.lists(nests, min_size=1, max_size=5), way=st.sampled_from(list(WAYS)))
def test_files_lose_nothing(tmp_path_factory, tools, values: list[object], way: str) -> None:
    folder = tmp_path_factory.mktemp("run")

    def make(call: int) -> object:
        return stored(way, values[call])

    done = tools.run(folder / "out", make, len(values), WAYS[way], batch=3)
    assert not done.errors
    assert not done.notes
    target = merge(done.output_dir, folder / "merged.h5").path
    for path in (done.output_dir, target):
        with acme_io.open_results(path) as results:
            for call in results:
                assert tools.same(call.values, make(call.index))
    assert verify(done.output_dir) == []


@given(st.lists(texts, unique=True))
def test_different_keys_have_different_names(keys: list[str]) -> None:
    names = [member_name(key) for key in keys]
    assert len(set(names)) == len(keys)
    for name in names:
        assert name not in ("", ".", "..")
        assert "/" not in name
        assert "\0" not in name
        assert len(name.encode()) < 256
