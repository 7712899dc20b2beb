"""Values that are groups: their fields, their creation, and reading their members.

A call's values are a flat list of fields. The field of a group precedes those of its members, whose
paths begin with its own, and takes one place among the arrays, with None.

Readers follow the forms on record, not the links in the file: a member is opened only by the name
that its form has, and only if it lies in the file itself.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from h5py import h5a, h5d, h5g, h5i, h5l, h5o, h5p, h5s, h5t

from acme_io import layout
from acme_io.errors import DamagedFileError
from acme_io.hdf5.checked_file import CheckedFile
from acme_io.hdf5.objects import (
    Field,
    GroupField,
    add_dataset,
    is_utf8,
    member_names,
    read_array,
    write_text,
)
from acme_io.values.encoded import EncodedGroup, Form, Node
from acme_io.values.scalar_parts import may_be_scalar

__all__ = [
    "add_member",
    "datasets_in",
    "fields_of",
    "is_nested",
    "names_of",
    "read_group",
    "read_leaf",
]

Array = np.ndarray[Any, Any]

# Bytes of a list of texts in an attribute; longer ones would need the 1.8 layout of HDF5.
_LONGEST_LIST = 32 << 10

_NO_DTYPE = np.dtype("u1")


def fields_of(
    values: Sequence[Node], first: int = 0, where: str = ""
) -> tuple[list[Field], list[Array | None]]:
    """Return the fields of encoded values and their contents.

    Parameters
    ----------
    values : sequence of Encoded or EncodedGroup
        The values of one call, from number `first` on.
    first : int
        Number of the first value.
    where : str
        Path of the group of the call, with a slash at its end; empty for the root group.
    """
    fields: list[Field] = []
    arrays: list[Array | None] = []
    for index, value in enumerate(values, start=first):
        path = f"{where}{layout.result_name(index)}"
        if isinstance(value, EncodedGroup):
            _collect(fields, arrays, path, value)
        else:
            fields.append(Field.of(path, value))
            arrays.append(value.array)
    return fields, arrays


def _collect(
    fields: list[Field], arrays: list[Array | None], path: str, group: EncodedGroup
) -> None:
    fields.append(_group_field(path, group.kind, group.members, group.more))
    arrays.append(None)
    for name, member in group.members.items():
        below = f"{path}/{name}"
        if isinstance(member, EncodedGroup):
            _collect(fields, arrays, below, member)
        else:
            fields.append(Field.of(below, member))
            arrays.append(member.array)


def _group_field(path: str, kind: str, members: Iterable[str], form: Mapping[str, Form]) -> Field:
    """Return the field of a group, with what other programs need of its form."""
    # HDF5 tells the order of creation, but many programs list members by name.
    name = {"columns": "order", "variable": "dims"}.get(kind, "")
    texts = tuple(members if name == "order" else form.get("dims", ()) if name else ())
    longest = max((len(text.encode("utf-8", "replace")) for text in texts), default=0)
    if not 0 < longest * len(texts) <= _LONGEST_LIST:
        name, texts = "", ()
    return Field(path, _NO_DTYPE, None, group=GroupField(kind, name, texts))


def is_nested(fields: Sequence[Field]) -> bool:
    """Whether one of the fields is a group: readers of format version 2 do not know these."""
    # A loop, because starting a generator takes longer for the one field of most calls.
    for field in fields:  # noqa: SIM110
        if field.group is not None:
            return True
    return False


def names_of(fields: Sequence[Field]) -> bytes:
    """Return the names in the groups of a call, for its checksum; empty if it has no groups."""
    if not is_nested(fields):
        return b""
    lines = (f"{field.path} {field.group.kind if field.group else ''}" for field in fields)
    return "\n".join(lines).encode()


def add_member(where: Any, field: Field, *, early: bool = True) -> Any:
    """Create a dataset without data, or a group; see `acme_io.hdf5.objects.add_dataset`."""
    if field.group is None:
        return add_dataset(where, field, early=early)
    made = h5g.create(where, field.path.encode(), lcpl=_LINKS, gcpl=_GROUPS)
    write_text(made, "kind", field.group.kind.encode())
    if field.group.list_name:
        _write_texts(made, field.group.list_name, field.group.texts)
    return made


def _group_properties() -> h5p.PropGCID:
    properties = h5p.create(h5p.GROUP_CREATE)
    properties.set_obj_track_times(False)
    # Members are listed in the order of a dict's keys.
    properties.set_link_creation_order(h5p.CRT_ORDER_TRACKED | h5p.CRT_ORDER_INDEXED)
    return properties


def _link_properties() -> h5p.PropLCID:
    properties = h5p.create(h5p.LINK_CREATE)
    properties.set_create_intermediate_group(True)
    properties.set_char_encoding(h5t.CSET_UTF8)
    return properties


_GROUPS, _LINKS = _group_properties(), _link_properties()


def _write_texts(where: Any, name: str, texts: Sequence[str]) -> None:
    raw = np.array([text.encode("utf-8", "replace") for text in texts])
    kind = h5t.C_S1.copy()
    kind.set_size(raw.itemsize)
    kind.set_cset(h5t.CSET_UTF8)
    kind.set_strpad(h5t.STR_NULLPAD)
    attribute = h5a.create(where, name.encode(), kind, h5s.create_simple(raw.shape))
    attribute.write(raw, kind)


def read_group(
    checked: CheckedFile, where: Any, path: str, form: Form, *, scalars: bool = False
) -> Iterator[tuple[Field, Array | None]]:
    """Read a group and its members, in the order of its form.

    Parameters
    ----------
    checked : CheckedFile
        The file.
    where : h5py.h5g.GroupID
        The group that holds it.
    path : str
        Its path relative to the call; the last part is its name.
    form : dict
        Its form.
    scalars : bool
        Whether to read scalars only; other datasets are yielded as if they had no data.

    Yields
    ------
    field : Field
        The group, then each member.
    array : numpy.ndarray or None
        The content of a dataset.

    Raises
    ------
    DamagedFileError
        A member lies in another file, or its data has changed.
    KeyError
        A member is missing.
    """
    members = form["members"]
    yield _group_field(path, form["kind"], members, form), None
    group = h5g.open(where, _own_name(where, path.rpartition("/")[2]))
    for name, one in members.items():
        below = f"{path}/{name}"
        if isinstance(one, dict):
            _own_name(group, name)
            yield from read_group(checked, group, below, one, scalars=scalars)
        elif scalars and not may_be_scalar(one):
            yield Field(below, _NO_DTYPE, None), None
        else:
            dataset = h5d.open(group, _own_name(group, name))
            _check_own_data(checked, dataset, below)
            yield read_leaf(checked, dataset, below, one, scalars=scalars)


def read_leaf(
    checked: CheckedFile, dataset: Any, path: str, form: Form, *, scalars: bool
) -> tuple[Field, Array | None]:
    """Read and check a dataset, or with `scalars` only one that is a scalar."""
    if scalars and not may_be_scalar(form, dataset.shape):
        return Field(path, _NO_DTYPE, None), None
    return read_field(checked, dataset, path)


def _check_own_data(checked: CheckedFile, dataset: Any, path: str) -> None:
    """Raise `DamagedFileError` for a dataset whose data is in another file."""
    properties = dataset.get_create_plist()
    if properties.get_layout() == h5d.VIRTUAL or properties.get_external_count():
        raise DamagedFileError(f"{checked.path}: {path} has its data in another file.")


def read_field(checked: CheckedFile, dataset: Any, path: str) -> tuple[Field, Array | None]:
    """Read and check a dataset; the field describes it well enough to write a copy."""
    array = read_array(dataset)
    if array is None:
        return Field(path, _NO_DTYPE, None), None
    checked.check_data(dataset, array)
    return Field(path, array.dtype, array.shape, is_utf8(dataset)), array


def _own_name(group: Any, name: str) -> bytes:
    """Return the name of a member that lies in the file itself, not behind a link out of it."""
    raw = name.encode()
    # A path would lead elsewhere, even within the file.
    if not raw or b"/" in raw or raw == b"." or b"\0" in raw:
        raise DamagedFileError(f"A result has a member of the impossible name {name!r}.")
    if group.links.get_info(raw).type != h5l.TYPE_HARD:
        raise DamagedFileError(
            f"The member {name!r} of a result is a link to another place, which is not followed."
        )
    return raw


def datasets_in(group: h5g.GroupID) -> Iterator[h5d.DatasetID]:
    """Yield the datasets in a group and in the groups below it, in the file itself."""
    for name in member_names(group):
        member = h5o.open(group, _own_name(group, name))
        if h5i.get_type(member) == h5i.GROUP:
            yield from datasets_in(member)
        else:
            yield member
