"""Behaviour of HDF5 and h5py that acme-io relies on beyond their high-level interface.

When one of these tests fails with a new version of h5py, `acme_io.hdf5` lists what depends on it.
"""

import re
from pathlib import Path

import h5py
import numpy as np
import pytest
from h5py import h5, h5d, h5f, h5fd, h5g, h5o, h5p, h5s, h5t

import acme_io.hdf5
from acme_io.hdf5.attributes import column_ranges, find_attribute
from acme_io.hdf5.members import add_member
from acme_io.hdf5.new_file import NewFile
from acme_io.hdf5.objects import (
    LARGEST_ATTRIBUTE,
    Field,
    GroupField,
    MemoryFile,
    add_dataset,
    container_properties,
    creation_properties,
    hdf5_type,
    memory_name,
    read_array,
    read_text,
    write_column,
    write_text,
)

BLOCK = 1024
NUMBERS = np.arange(100.0)


def new_file(path: Path, *, dense: bool = False, block: int = BLOCK) -> NewFile:
    return NewFile(path, block, dense=dense)


def image_of(name: str) -> bytes:
    """Return a file in memory with one dataset of 100 numbers."""
    new = MemoryFile(creation_properties(512), dense=False)
    dataset = add_dataset(new.root, Field(name, NUMBERS.dtype, NUMBERS.shape))
    dataset.write(h5s.ALL, h5s.ALL, NUMBERS)
    return bytes(512) + new.image()


def opened(content: bytes, name: bytes) -> h5f.FileID:
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_fapl_core(1 << 14, False)
    access.set_file_image(content)
    return h5f.open(name, h5f.ACC_RDONLY, access)


def test_every_test_that_the_docstring_names_exists() -> None:
    sources = "".join(path.read_text() for path in Path(__file__).parent.rglob("test_*.py"))
    named = re.findall(r"`(test_\w+)`", acme_io.hdf5.__doc__ or "")
    assert len(named) > 15
    assert [name for name in named if f"def {name}(" not in sources] == []


def test_a_user_block_belongs_to_whoever_writes_the_file(tmp_path: Path) -> None:
    new = new_file(tmp_path / "f.h5")
    add_dataset(new.root, Field("x", NUMBERS.dtype, NUMBERS.shape))
    new.close_hdf5()
    new.file.seek(0)
    assert new.file.read(BLOCK).strip(b"\0") == b""
    assert new.file.read(8) == b"\x89HDF\r\n\x1a\n"
    new.file.seek(0)
    new.file.write(b"H" * BLOCK)
    new.reopen_hdf5()
    assert list(new.root) == [b"x"]
    new.abort()


@pytest.mark.parametrize("dense", [False, True])
def test_early_allocation_gives_an_offset_that_counts_the_user_block(
    tmp_path: Path, dense: bool
) -> None:
    new = new_file(tmp_path / "f.h5", dense=dense)
    dataset = add_dataset(new.root, Field("x", NUMBERS.dtype, NUMBERS.shape))
    offset = dataset.get_offset()
    assert offset >= BLOCK
    new.close_hdf5()
    new.file.seek(offset)
    new.file.write(NUMBERS.tobytes())
    new.reopen_hdf5()
    assert h5d.open(new.root, b"x").get_offset() == offset
    read = read_array(h5d.open(new.root, b"x"))
    assert read is not None
    assert read.tolist() == NUMBERS.tolist()
    new.abort()


def test_the_library_does_not_fill_early_allocated_data(tmp_path: Path) -> None:
    written: list[int] = []
    new = new_file(tmp_path / "f.h5")
    plain = new._shield.write

    def counting(data):
        written.append(len(memoryview(data).cast("B")))
        return plain(data)

    new._shield.write = counting  # type: ignore[method-assign]
    add_dataset(new.root, Field("x", np.dtype("u1"), (10_000_000,)))
    new.close_hdf5()
    assert sum(written) < 100_000
    new.abort()


def test_datasets_without_elements_and_null_dataspaces_are_told_apart() -> None:
    new = MemoryFile(creation_properties(512), dense=False)
    empty = read_array(add_dataset(new.root, Field("x", np.dtype("f8"), (0, 3))))
    assert empty is not None
    assert empty.shape == (0, 3)
    assert read_array(add_dataset(new.root, Field("y", np.dtype("u1"), None))) is None
    new.image()


@pytest.mark.parametrize("dense", [False, True])
def test_the_original_and_the_1_8_layout_begin_with_known_versions(dense: bool) -> None:
    new = MemoryFile(creation_properties(512), dense=dense)
    dataset = add_dataset(new.root, Field("x", np.dtype("f8"), (7,)))
    start = h5o.get_info(dataset).addr
    head = new.image()
    # Superblock 0 and object header version 1; the 1.8 layout has 2 or 3, and the signature OHDR.
    assert (head[8] == 0) == (not dense)
    assert head[start : start + 4] == b"OHDR" if dense else head[start] == 1
    if not dense:
        assert int.from_bytes(head[40:48], "little") == 512 + len(head)


def test_equal_files_have_equal_bytes() -> None:
    assert image_of("x") == image_of("x")  # no timestamps


def test_file_images_are_opened_and_told_apart_by_name() -> None:
    first, second = (opened(image_of(name), memory_name()) for name in ("a", "b"))
    assert [list(h5g.open(fid, b"/")) for fid in (first, second)] == [[b"a"], [b"b"]]
    first.close()
    second.close()


def test_closing_a_file_closes_its_objects() -> None:
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    access.set_fapl_core(1 << 14, False)
    access.set_file_image(image_of("x"))
    fid = h5f.open(memory_name(), h5f.ACC_RDONLY, access)
    dataset = h5d.open(fid, b"x")
    fid.close()
    assert not fid.valid
    assert not dataset.valid


def test_the_driver_calls_only_the_methods_of_our_file_objects() -> None:
    class Log:
        def __init__(self) -> None:
            self.called: set[str] = set()
            self.content = bytearray(image_of("x"))
            self.position = 0

        def __getattr__(self, name: str):
            raise AssertionError(f"h5py's driver asks for {name!r}")

        def seek(self, offset: int, whence: int = 0) -> int:
            self.position = offset + (len(self.content) if whence == 2 else 0)
            return self.position

        def tell(self) -> int:
            return self.position

        def readinto(self, buffer) -> int:
            view = memoryview(buffer).cast("B")
            view[:] = self.content[self.position : self.position + len(view)]
            return len(view)

    access = h5p.create(h5p.FILE_ACCESS)
    access.set_fileobj_driver(h5fd.fileobj_driver, Log())
    fid = h5f.open(memory_name(), h5f.ACC_RDONLY, access)
    read = read_array(h5d.open(fid, b"x"))
    assert read is not None
    assert read.tolist() == NUMBERS.tolist()
    fid.close()


def test_a_write_error_is_kept_until_the_library_has_closed_the_file(tmp_path: Path) -> None:
    new = new_file(tmp_path / "f.h5")

    def fails(data):
        raise OSError(28, "No space left on device")

    class Full:
        write = staticmethod(fails)

        def __getattr__(self, name: str):
            return getattr(new.file, name)

    new._shield._file = Full()  # type: ignore[assignment]
    add_dataset(new.root, Field("x", NUMBERS.dtype, NUMBERS.shape))
    with pytest.raises(OSError, match="No space left") as caught:
        new.close_hdf5()
    assert caught.value.errno == 28
    new.abort()
    assert list(tmp_path.iterdir()) == []


def test_members_are_listed_in_order_of_creation(tmp_path: Path) -> None:
    names = [f"comp_{number}" for number in range(12)]
    new = MemoryFile(container_properties(512), dense=True)
    for name in names:
        new.root.links.create_external(name.encode(), b"folder/g.h5", b"/")
    (tmp_path / "f.h5").write_bytes(bytes(512) + new.image())
    with h5py.File(tmp_path / "f.h5", "r") as file:
        found: list[bytes] = []
        # The high-level listing of h5py 3.11 is by name.
        file.id.links.iterate(found.append, idx_type=h5.INDEX_CRT_ORDER)
        assert [name.decode() for name in found] == names
        link = file.get("comp_3", getlink=True)
        assert (link.filename, link.path) == ("folder/g.h5", "/")


def test_groups_on_a_path_are_created() -> None:
    new = MemoryFile(creation_properties(512), dense=False)
    add_dataset(new.root, Field("comp_1/result_0", np.dtype("f8"), ()))
    assert list(h5g.open(new.root, b"comp_1")) == [b"result_0"]
    new.image()


@pytest.mark.parametrize("size", [40_000, 3_000_000])
@pytest.mark.parametrize("rank", [0, 1])
def test_the_content_of_long_attributes_is_found(tmp_path: Path, size: int, rank: int) -> None:
    new = new_file(tmp_path / "f.h5", dense=True)
    content = np.random.default_rng(size).bytes(size).replace(b"\0", b"x")
    if rank:
        write_column(new.root, "column", np.frombuffer(content, "<u8"))
    else:
        write_text(new.root, "column", content)
    write_text(new.root, "other", b"x" * size)
    new.close_hdf5()
    at = find_attribute(new.file, 0, "column", size)
    assert at is not None
    new.file.seek(at)
    assert new.file.read(size) == content
    assert find_attribute(new.file, 0, "column", size - 8) is None
    assert find_attribute(new.file, 0, "olumn", size) is None
    if rank:
        column = np.frombuffer(content, "<u8")
        [(offset, length, _)] = column_ranges(new.file, {"column": column, "short": column[:3]})
        assert (offset, length) == (at, size)
    new.abort()


def test_attributes_up_to_the_limit_fit_the_original_layout() -> None:
    new = MemoryFile(creation_properties(512), dense=False)
    write_text(new.root, "calls", b"x" * LARGEST_ATTRIBUTE)
    assert read_text(new.root, "calls") == "x" * LARGEST_ATTRIBUTE
    with pytest.raises((OSError, RuntimeError)):
        write_text(new.root, "more", b"x" * (1 << 16))
    new.image()


@pytest.mark.parametrize("count", [3, 10, 200])
def test_groups_of_values_list_their_members_in_order(tmp_path: Path, count: int) -> None:
    names = [f"member {number * 7 % count}" for number in range(count)]
    images = []
    for _ in range(2):
        new = MemoryFile(creation_properties(512), dense=False)
        add_member(new.root, Field("value", np.dtype("u1"), None, group=GroupField("dict")))
        for name in names:
            add_member(new.root, Field(f"value/{name}", np.dtype("f8"), (2,)), early=False)
        images.append(new.image())
    # Without time stamps, and with object headers whose numbers a template may change.
    assert images[0] == images[1]
    (tmp_path / "f.h5").write_bytes(bytes(512) + images[0])
    with h5py.File(tmp_path / "f.h5", "r") as file:
        assert list(file["value"]) == names
        address = h5o.get_info(file[f"value/{names[-1]}"].id).addr
    assert images[0][address] == 1  # version of the object header


@pytest.mark.parametrize("text", ["", "a", "Größe ∑ 🎧"])
def test_texts_of_fixed_and_variable_length_are_read(tmp_path: Path, text: str) -> None:
    new = MemoryFile(creation_properties(512), dense=False)
    write_text(new.root, "fixed", text.encode())
    (tmp_path / "f.h5").write_bytes(bytes(512) + new.image())
    with h5py.File(tmp_path / "f.h5", "r+") as file:
        file.attrs["variable"] = text
        root = h5g.open(file.id, b"/")
        assert read_text(root, "fixed").rstrip("\0") == text
        assert read_text(root, "variable") == text


@pytest.mark.parametrize("dtype", ["?", "f2", "c8", ">i4", "g", "S5", "V3"])
def test_the_translation_of_dtypes_gives_back_the_dtype(dtype: str) -> None:
    plain = np.dtype(dtype)
    kind = hdf5_type(plain)
    assert (kind.dtype, kind.get_size()) == (plain, plain.itemsize)
    if plain.kind == "S":
        text = hdf5_type(plain, text=True)
        assert isinstance(text, h5t.TypeStringID)
        assert text.get_cset() == h5t.CSET_UTF8
        assert kind.get_cset() == h5t.CSET_ASCII  # type: ignore[attr-defined]
