"""One value as HDF5 can hold it: an array, and the form that restores the value from it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["MAX_RANK", "Array", "Encoded", "Form"]

Form = Any
"""A JSON-able description: text, number, or list of these."""

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
