"""Values as HDF5 can hold them: datasets and groups, with the forms that restore the values."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

__all__ = ["MAX_RANK", "Array", "Encode", "Encoded", "EncodedGroup", "Form", "Node"]

Form = Any
"""A JSON-able description: text, number, list or dict of these."""

Array = np.ndarray[Any, Any]

# H5S_MAX_RANK. NumPy 2 allows 64.
MAX_RANK = 32
"""Largest number of dimensions of an HDF5 dataset."""


@dataclass
class Encoded:
    """One array that HDF5 can hold, and its form.

    Attributes
    ----------
    array : numpy.ndarray or None
        None stands for a null dataspace.
    form : str or list
        The form of the value.
    text : bool
        Whether strings are UTF-8 text instead of arbitrary bytes.
    """

    array: Array | None
    form: Form
    text: bool = False


@dataclass
class EncodedGroup:
    """A value that consists of several: a group of datasets and groups.

    Attributes
    ----------
    kind : str
        The kind of value, such as `"dict"`; an attribute of the group in the file.
    members : dict of str to Encoded or EncodedGroup
        The members by their names in the file, in order.
    more : dict
        What else the form needs to restore the value.
    """

    kind: str
    members: "dict[str, Node]"
    more: dict[str, Form] = field(default_factory=dict)

    @property
    def form(self) -> Form:
        """The form of the value: kind and further facts, and the form of each member."""
        members = {name: member.form for name, member in self.members.items()}
        return {"kind": self.kind, **self.more, "members": members}


Node: TypeAlias = Encoded | EncodedGroup

# Passed to the encoders of groups, which do not know the encoders of their members.
Encode: TypeAlias = Callable[[object], Node]
"""Encodes a member of a group; raises `NotStorableError` if HDF5 cannot hold it."""
