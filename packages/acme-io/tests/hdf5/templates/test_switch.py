"""Files made and read with templates equal those that the HDF5 library makes and reads."""

import itertools
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import acme_io
from acme_io.hdf5.templates.reading import PayloadPattern
from acme_io.hdf5.templates.writing import Template
from acme_io.tools.verify import verify

DTYPES = ["f8", "<f4", ">f8", "i2", ">u4", "?", "c16", "S7", "U3", "M8[ms]"]

arrays = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, max_side=5))
)
texts = st.text(st.characters(codec="utf-8"), max_size=40)
one = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), texts, st.binary(max_size=40), arrays
)
values = st.one_of(one, st.lists(one, min_size=2, max_size=4).map(tuple))


def described(path: Path) -> dict[str, object]:
    """Read everything that h5py sees in a payload."""
    found: dict[str, object] = {}
    with h5py.File(path, "r") as file:
        found["attributes"] = sorted(file.attrs)
        for name, dataset in file.items():
            data = None if dataset.shape is None else dataset[()]
            raw = None if data is None else np.asarray(data).tobytes()
            properties = (dataset.chunks, dataset.maxshape, dataset.compression, dataset.fillvalue)
            found[name] = (dataset.dtype, dataset.shape, raw, repr(properties))
    return found


# The fixture holds functions, no state.
@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(some=st.lists(values, min_size=1, max_size=4))
def test_both_ways_write_and_read_the_same(tools, some: list[object]) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        done = {}
        for switch in ("on", "off"):
            patch.setenv("ACME_IO_TEMPLATES", switch)
            done[switch] = tools.run(Path(folder) / switch, some.__getitem__, len(some))
            assert verify(done[switch].output_dir) == []
        for by_template, by_library in zip(done["on"].files, done["off"].files, strict=True):
            assert (by_template is None) == (by_library is None)
            if by_template is not None and by_template.endswith(".h5"):
                assert described(Path(by_template)) == described(Path(by_library))
        for written, read in itertools.product(("on", "off"), repeat=2):
            patch.setenv("ACME_IO_TEMPLATES", read)
            with acme_io.open_results(done[written].output_dir, allow_pickle=True) as results:
                for call in results:
                    assert tools.same(call.values, some[call.number])


def test_the_switch_leaves_everything_to_the_library(run, monkeypatch) -> None:
    used: list[str] = []

    def spy(kind: type, method: str) -> None:
        plain = getattr(kind, method)

        def noted(self, *arguments):
            used.append(kind.__name__)
            return plain(self, *arguments)

        monkeypatch.setattr(kind, method, noted)

    spy(Template, "fill")
    spy(PayloadPattern, "read")
    for switch, expected in [("off", set()), ("on", {"Template", "PayloadPattern"})]:
        monkeypatch.setenv("ACME_IO_TEMPLATES", switch)
        done = run(lambda call: np.arange(5.0) + call, 6)
        with acme_io.open_results(done.container) as results:
            assert [call.values[0] for call in results] == list(range(6))
        assert set(used) == expected
