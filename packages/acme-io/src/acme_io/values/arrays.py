"""Encode and decode NumPy arrays."""

from typing import Any

import numpy as np

from acme_io.errors import NotStorableError
from acme_io.values.encoded import MAX_RANK, Array, Encoded

__all__ = ["clean_copy", "decode_array", "encode_array", "encode_unicode_array"]


def encode_array(array: Array) -> Encoded:
    """Encode an array; raise `NotStorableError` if HDF5 has no such dtype."""
    dtype = array.dtype
    if array.ndim > MAX_RANK:
        raise NotStorableError(f"HDF5 cannot hold an array of {array.ndim} dimensions.")
    # HDF5 has no type for dates and time differences: they are stored as int64 counts of the unit.
    if dtype.kind in "mM":
        little = array.astype(dtype.newbyteorder("<"), copy=False)
        return Encoded(little.view("<i8"), ["array", dtype.str])
    if dtype.kind == "U":
        return encode_unicode_array(array)
    # HDF5 has no strings of zero bytes.
    if dtype.kind == "S" and dtype.itemsize == 0:
        return Encoded(np.zeros(array.shape, "S1"), ["array", dtype.str])
    if not _holds(dtype):
        raise NotStorableError(f"HDF5 cannot hold an array of dtype {dtype}.")
    # C order from here on: checksums and files must see the same bytes.
    plain = clean_copy(array) if dtype.names is not None else np.ascontiguousarray(array)
    # `ascontiguousarray` turns 0-d arrays into 1-d ones, hence the reshape.
    return Encoded(plain.reshape(array.shape), "array")


def clean_copy(array: Array) -> Array:
    """Copy an array in C order, with zeros in the gaps between the fields of structured elements.

    The gaps are not part of the value but would be part of its checksum.
    """
    # Assignment copies field by field and leaves the gaps of the target alone; `copy` does not
    # promise anything about them.
    if array.dtype.names is None:
        return array.copy()
    copy = np.zeros(array.shape, array.dtype)
    copy[...] = array
    return copy


def encode_unicode_array(array: Array) -> Encoded:
    """Encode an array of text as fixed-length UTF-8 strings."""
    if array.dtype.itemsize == 0 or array.size == 0:
        return Encoded(np.zeros(array.shape, "S1"), ["array", array.dtype.str], text=True)
    # NumPy holds four bytes per character (UCS-4), HDF5 UTF-8.
    try:
        raw = np.char.encode(array, "utf-8")
    except UnicodeEncodeError:
        raise NotStorableError("HDF5 cannot hold text with lone surrogates.") from None
    # Only empty strings: HDF5 has no strings of zero bytes.
    if raw.dtype.itemsize == 0:
        raw = np.zeros(array.shape, "S1")
    return Encoded(np.asarray(raw).reshape(array.shape), ["array", array.dtype.str], text=True)


# The translation in h5py takes longer than the encoding of a small array.
_KNOWN_DTYPES: dict[Any, bool] = {}


def _holds(dtype: np.dtype[Any]) -> bool:
    """Whether the dtype survives h5py's translation to an HDF5 type and back."""
    if dtype.hasobject:
        return False
    # Structured dtypes of one size have the same `str`; `repr` tells offsets and alignment too.
    key = (dtype.str, dtype) if dtype.names is None else (repr(dtype), dtype)
    if key not in _KNOWN_DTYPES:
        # A function that invents a dtype per call must not fill the memory of a worker.
        if len(_KNOWN_DTYPES) > 1000:
            _KNOWN_DTYPES.clear()
        # Imported here: values without arrays are encoded without h5py.
        from h5py import h5t

        try:
            back = h5t.py_create(dtype, logical=True).dtype
        except (TypeError, ValueError, RuntimeError):
            _KNOWN_DTYPES[key] = False
        else:
            # The size too: an HDF5 type of no bytes (`V0`) does not exist.
            same_size = back.itemsize == dtype.itemsize > 0
            _KNOWN_DTYPES[key] = back == dtype and same_size
    return _KNOWN_DTYPES[key]


def decode_array(array: Array, dtype_text: str | None) -> Array:
    """Restore an array from its dataset and the dtype in its form, if any."""
    if dtype_text is None:
        return array
    # The rest undoes `encode_array` for dtypes that HDF5 lacks: text, empty strings, dates.
    dtype = np.dtype(dtype_text)
    if dtype.kind == "U":
        if dtype.itemsize == 0 or array.size == 0:
            return np.zeros(array.shape, dtype)
        return np.asarray(np.char.decode(array, "utf-8")).astype(dtype).reshape(array.shape)
    if dtype.kind == "S":
        return np.zeros(array.shape, dtype)
    plain = np.ascontiguousarray(array, "<i8").reshape(array.shape)
    return plain.view(dtype.newbyteorder("<")).astype(dtype, copy=False)
