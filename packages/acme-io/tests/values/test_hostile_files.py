"""Names and links in a file lead nowhere else, even if all its checksums are right."""

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

import acme_io
from acme_io.errors import DamagedFileError
from acme_io.files.header import read_header, write_header
from acme_io.storage.options import StorageOptions
from acme_io.tools.merge import merge


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file that a reader may read and no result should show."""
    path = tmp_path / "secret.h5"
    with h5py.File(path, "w") as file:
        file["secret"] = np.full(3, 42)
    (tmp_path / "secret.raw").write_bytes(np.full(3, 42).tobytes())
    return path


def forge(path: Path, change: Callable[[h5py.File], None]) -> None:
    """Change a file and give it a header that fits."""
    header = read_header(path)
    with h5py.File(path, "r+") as file:
        change(file)
    with open(path, "r+b") as raw:
        write_header(header, raw, [])


def read_damaged(folder: Path, reason: str) -> None:
    with acme_io.open_results(folder) as results, pytest.raises(DamagedFileError, match=reason):
        results[0].values  # noqa: B018


def replace(member: Callable[[h5py.Group], None]) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file["result_0/a"]
        member(file["result_0"])

    return change


def set_record(file: h5py.File, change: Callable[[dict], None]) -> None:
    record = json.loads(file.attrs["calls"])
    change(record["values"][0])
    file.attrs["calls"] = np.bytes_(json.dumps(record).encode())


def links(secret: Path) -> dict[str, Callable[[h5py.File], None]]:
    def external_storage(group: h5py.Group) -> None:
        raw = (str(secret.with_suffix(".raw")), 0, 24)
        group.create_dataset("a", (3,), "i8", external=[raw])

    def virtual(group: h5py.Group) -> None:
        space = h5py.VirtualLayout((3,), "i8")
        space[:] = h5py.VirtualSource(str(secret), "secret", (3,))
        group.create_virtual_dataset("a", space)

    def soft(group: h5py.Group) -> None:
        group["a"] = h5py.SoftLink("/result_0/b")

    def external(group: h5py.Group) -> None:
        group["a"] = h5py.ExternalLink(str(secret), "/secret")

    def outer_group(file: h5py.File) -> None:
        del file["result_0"]
        file["result_0"] = h5py.ExternalLink(str(secret), "/")

    members = (external_storage, virtual, soft, external)
    return {
        **{member.__name__: replace(member) for member in members},
        "outer_group": outer_group,
    }


@pytest.mark.parametrize("link", ["external_storage", "virtual", "soft", "external", "outer_group"])
def test_links_are_not_followed(run, secret: Path, tmp_path: Path, link: str) -> None:
    done = run(lambda call: {"a": np.arange(3), "b": np.arange(3)}, 1)
    forge(Path(done.files[0]), links(secret)[link])
    read_damaged(done.output_dir, r"f_0\.h5")
    assert merge(done.output_dir, tmp_path / "merged.h5").skipped.keys() == {0}


@pytest.mark.parametrize("single_file", [False, True])
@pytest.mark.parametrize("n_linked", [1, 3])
def test_links_in_place_of_numbers_are_not_followed(
    run, secret: Path, single_file: bool, n_linked: int
) -> None:
    done = run(float, 3, StorageOptions(single_file=single_file))

    def link(file: h5py.File) -> None:
        for group in ["/"] if not single_file else [f"comp_{i}" for i in range(n_linked)]:
            del file[group]["result_0"]
            file[group]["result_0"] = h5py.ExternalLink(str(secret), "/secret")

    forge(done.output_dir / "f.h5" if single_file else Path(done.files[0]), link)
    read_damaged(done.output_dir, "not followed|result_0")
    with acme_io.open_results(done.output_dir) as results, pytest.raises(DamagedFileError):
        results.stack()


@pytest.mark.parametrize(
    "name", ["../x", "/result_0/b", "b/../b", "b/", ".", "..", "", "\0", "b\0"]
)
def test_names_on_record_are_no_paths(run, name: str) -> None:
    done = run(lambda call: {"a": 1, "b": {"b": 2}}, 1)

    def rename(form: dict) -> None:
        form["members"] = {name: form["members"]["a"], "b": form["members"]["b"]}

    forge(Path(done.files[0]), lambda file: set_record(file, rename))
    read_damaged(done.output_dir, r"f_0\.h5")


def test_a_group_that_contains_itself_ends(run) -> None:
    done = run(lambda call: {"a": 1}, 1)

    def change(file: h5py.File) -> None:
        del file["result_0/a"]
        file["result_0/a"] = file["result_0"]

        def deepen(form: dict) -> None:
            for _ in range(200):
                form["members"]["a"] = {"kind": "dict", "members": {"a": "int"}}
                form = form["members"]["a"]

        set_record(file, deepen)

    forge(Path(done.files[0]), change)
    with acme_io.open_results(done.output_dir) as results, pytest.raises(DamagedFileError):
        results[0].values  # noqa: B018


def test_a_record_of_endless_depth_is_damaged(run) -> None:
    done = run(lambda call: {"a": 1}, 1)

    def change(file: h5py.File) -> None:
        text = '{"call":0,"status":"done","returned":"one","values":['
        file.attrs["calls"] = np.bytes_((text + "[" * 10_000 + "]" * 10_000 + "]}").encode())

    forge(Path(done.files[0]), change)
    with acme_io.open_results(done.output_dir) as results, pytest.raises(DamagedFileError):
        results[0].values  # noqa: B018


@pytest.mark.parametrize(
    "change",
    [
        {"shape": "two"},
        {"shape": [1, 1], "labels": ["no storage", "NA"]},
        {"members": {}},
        {"members": {"columns": {"kind": "objects", "members": {}}}},
        {"kind": "index", "freq": "no frequency"},
        {"kind": "variable", "dims": 7},
        {"members": 7},
        {"members": {"columns": {"members": {}}}},
    ],
)
def test_a_form_that_no_library_accepts_is_damaged(run, change: dict) -> None:
    done = run(lambda call: pd.DataFrame({"a": [1, 2]}), 1)
    forge(Path(done.files[0]), lambda file: set_record(file, lambda form: form.update(change)))
    read_damaged(done.output_dir, "cannot be restored here|unknown|is damaged")


def test_a_group_of_an_unknown_kind_is_named(run) -> None:
    done = run(lambda call: {"a": 1}, 1)

    def change(file: h5py.File) -> None:
        set_record(file, lambda form: form.update(kind="of a later version"))

    forge(Path(done.files[0]), change)
    read_damaged(done.output_dir, "of a later version")
