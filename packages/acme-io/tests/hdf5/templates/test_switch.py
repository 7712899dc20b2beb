"""Files made and read with templates equal those that the HDF5 library makes and reads."""

import collections
import itertools
import math
import struct
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import acme_io
from acme_io import StorageOptions
from acme_io.hdf5.templates.reading import PayloadPattern
from acme_io.hdf5.templates.writing import Template
from acme_io.tools.verify import verify

SWITCH = "ACME_IO_TEMPLATES"
OPTIONS = {"links": StorageOptions(), "single": StorageOptions(single_file=True)}
Pair = collections.namedtuple("Pair", "mean spread")
GRID = np.arange(6.0).reshape(2, 3)
GAPS = np.array((0, np.nan), np.dtype([("a", "i1"), ("b", "f8")], align=True))

# Strategies below make lists of values that share one structure: the second and later ones are
# written from the template of the first, and read by its pattern.

dtypes = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="?"),
    hnp.unsigned_integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
    hnp.complex_number_dtypes(endianness="?", sizes=(64, 128)),
    hnp.datetime64_dtypes(endianness="?"),
    hnp.timedelta64_dtypes(endianness="?"),
    hnp.byte_string_dtypes(max_len=9),
    hnp.unicode_string_dtypes(endianness="?", max_len=5),
    st.sampled_from(["V3", "V16"]).map(np.dtype),
    st.sampled_from(
        [
            np.dtype([("a", "<i4"), ("b", "?"), ("c", "f8", (2,))]),
            np.dtype([("a", ">i2"), ("b", "S3")]),
            np.dtype([("a", "i1"), ("b", "f8")], align=True),
        ]
    ),
)
# Ranks up to 9: templates know those up to 8. Lengths of 0 make datasets without data.
shapes = st.one_of(
    hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=5),
    hnp.array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=4),
    hnp.array_shapes(min_dims=5, max_dims=9, min_side=1, max_side=2),
)
orders = st.sampled_from(
    [
        lambda array: array,
        lambda array: array.T,
        np.asfortranarray,
        lambda array: array[::-1] if array.ndim else array,
        lambda array: array[..., ::2] if array.ndim else array,
    ]
)


def filled(dtype: np.dtype[Any], shape: tuple[int, ...]) -> st.SearchStrategy[Any]:
    """Arrays of one dtype and shape; structured and void ones from arbitrary bytes."""
    if dtype.kind != "V":
        # Without a fill value, elements differ, so that a wrong order of elements is noticed.
        small = math.prod(shape) <= 40
        return hnp.arrays(dtype, shape, fill=st.nothing() if small else None)
    empty = np.zeros(shape, dtype)

    def from_bytes(content: bytes) -> Any:
        array = np.frombuffer(content, dtype).reshape(shape).copy()
        for name in dtype.names or ():
            if dtype[name].kind == "b":
                array[name] = array[name].view("u1") % 2
        return array

    return st.binary(min_size=empty.nbytes, max_size=empty.nbytes).map(from_bytes)


arrays = st.builds(lambda *one: one, dtypes, shapes, orders).flatmap(
    lambda one: st.lists(filled(one[0], one[1]).map(one[2]), min_size=2, max_size=3)
)
# Around the sizes at which the way of writing or reading changes, in bytes: a range of its own in
# the file header (32 kB), a file read whole (256 kB), a file made in memory (1 MB).
large = st.builds(
    lambda size, dtype, count: [
        (np.arange(size // np.dtype(dtype).itemsize) + 7 * number).astype(dtype)
        for number in range(count)
    ],
    st.sampled_from([k << 10 for k in (31, 32, 33, 254, 257, 1023, 1024, 1025)]),
    st.sampled_from(["u1", "<f8", ">f4", "c16"]),
    st.integers(1, 2),
)
long_doubles = st.lists(
    st.integers(-(2**63), 2**63 - 1).map(lambda n: np.array([n, 1], "g") / 3), min_size=1
)
texts = st.text(st.characters(codec="utf-8"), max_size=40)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    texts,
    st.binary(max_size=40),
    hnp.from_dtype(np.dtype("f4")),
    hnp.from_dtype(np.dtype("M8[ms]")),
)
nested = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4),
    st.lists(st.lists(st.floats(), min_size=2, max_size=2), max_size=3),
    st.lists(texts, max_size=4),
    st.lists(scalars, max_size=4),
)
one = st.one_of(
    arrays, large, long_doubles, scalars.map(lambda v: [v, v]), nested.map(lambda v: [v])
)
several = st.lists(one, max_size=4).map(lambda parts: list(zip(*parts, strict=False)) or [()])
dicts = several.map(lambda rows: [{f"k{i}": v for i, v in enumerate(row)} for row in rows])
deeper = st.tuples(dicts, one).map(
    lambda parts: [{"in": {"x/y": a}, "list": [b, "x"]} for a, b in zip(*parts, strict=False)]
)
named = st.tuples(one, one).map(lambda parts: [Pair(*pair) for pair in zip(*parts, strict=False)])
# Values of several structures in one run: a pattern must not take another structure for its own.
runs = st.tuples(arrays, st.lists(st.one_of(one, several, dicts, deeper, named), max_size=2)).map(
    lambda parts: [value for part in (parts[0], *parts[1]) for value in part]
)


def described(path: Path) -> dict[str, object]:
    """Return everything that h5py sees in a payload, but for the run's own id and start."""
    found: dict[str, object] = {}
    with h5py.File(path, "r") as file:
        found["user block"] = file.userblock_size
        found["attributes"] = sorted(file.attrs)
        found["calls"] = file.attrs.get_id("calls").dtype, file.attrs["calls"]
        members: list[tuple[str, Any]] = []
        file.visititems(lambda name, member: members.append((name, member)))
        found["members"] = [name for name, _ in members]
        for name, dataset in members:
            if isinstance(dataset, h5py.Group):
                found[name] = list(dataset), sorted(map(repr, dataset.attrs.items()))
                continue
            data = None if dataset.shape is None else dataset[()]
            raw = None if data is None else np.asarray(data).tobytes()
            kind = dataset.id.get_type()
            properties = (dataset.chunks, dataset.maxshape, dataset.compression, dataset.fillvalue)
            found[name] = (dataset.dtype, kind.encode(), dataset.shape, raw, repr(properties))
    return found


def exact(value: object) -> object:
    """Return a form of a value whose equality is equality of types, dtypes, shapes and bits."""
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [exact(entry) for entry in value]
    if isinstance(value, dict):
        return [(key, exact(entry)) for key, entry in value.items()]
    if isinstance(value, (np.ndarray, np.generic)):
        array = np.asarray(value)
        flags = array.flags.writeable, array.flags.c_contiguous
        return type(value), array.dtype.str, repr(array.dtype), array.shape, array.tobytes(), flags
    if isinstance(value, complex):
        return type(value), struct.pack("<dd", value.real, value.imag)
    return type(value), struct.pack("<d", value) if isinstance(value, float) else value


# The fixture holds functions, no state.
@settings(
    deadline=None, max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(values=runs, way=st.sampled_from([*OPTIONS]), batch=st.sampled_from([1, 4]))
@example(values=[GRID, GRID + 6, GRID.T, GRID.T + 6], way="links", batch=1)
@example(values=[np.zeros((0, 3)), np.zeros((3, 0)), np.zeros((0, 3))], way="links", batch=1)
@example(values=[(), (), None, None, "a", "b"], way="links", batch=1)
@example(values=[{"a": GRID, "b": 1}, {"a": GRID + 6, "b": 2}], way="links", batch=1)
@example(values=[GAPS, GAPS.copy(), GAPS.copy()], way="links", batch=1)
def test_both_ways_write_and_read_the_same(
    tools, values: list[object], way: str, batch: int
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        done = {}
        for switch in ("on", "off"):
            patch.setenv(SWITCH, switch)
            done[switch] = tools.run(
                Path(folder) / switch, values.__getitem__, len(values), OPTIONS[way], batch=batch
            )
            assert verify(done[switch].output_dir) == []
        for by_template, by_library in zip(done["on"].files, done["off"].files, strict=True):
            assert (by_template is None) == (by_library is None)
            if way == "links" and by_template is not None and by_template.endswith(".h5"):
                assert described(Path(by_template)) == described(Path(by_library))
        read: list[list[object]] = []
        for written, switch in itertools.product(("on", "off"), repeat=2):
            patch.setenv(SWITCH, switch)
            with acme_io.open_results(done[written].output_dir, allow_pickle=True) as results:
                found = [call.values for call in results]
            for value, expected in zip(found, values, strict=True):
                assert tools.same(value, expected) or type(expected) is Pair
            read.append([exact(value) for value in found])
        assert read[1:] == read[:1] * 3


def test_groups_of_one_call_alone_need_no_template(run, monkeypatch) -> None:
    filled: list[int] = []
    plain = Template.fill

    def noted(self, *arguments):
        filled.append(1)
        return plain(self, *arguments)

    monkeypatch.setattr(Template, "fill", noted)
    run(lambda call: {f"key of call {call}": call}, 6)
    assert not filled
    run(lambda call: {"key of all calls": call}, 6)
    assert len(filled) == 1 + 5  # one to try the template, and all but the first call


def test_the_switch_leaves_everything_to_the_library(run, monkeypatch) -> None:
    used: list[str] = []

    def spy(kind: type, method: str) -> None:
        plain = getattr(kind, method)

        def noted(self, *arguments):
            found = plain(self, *arguments)
            if found is not None:
                used.append(kind.__name__)
            return found

        monkeypatch.setattr(kind, method, noted)

    spy(Template, "fill")
    spy(PayloadPattern, "read")
    # Filled once more than there are calls: a new template is tried before it is used.
    for switch, expected in [("off", {}), ("on", {"Template": 6, "PayloadPattern": 5})]:
        monkeypatch.setenv(SWITCH, switch)
        done = run(lambda call: np.arange(5.0) + call, 6)
        used_before_reading = collections.Counter(used)
        with acme_io.open_results(done.container) as results:
            assert [call.values[0] for call in results] == list(range(6))
        counts = collections.Counter(used)
        assert counts.keys() == expected.keys()
        assert all(counts[name] >= least for name, least in expected.items())
        assert "PayloadPattern" not in used_before_reading
