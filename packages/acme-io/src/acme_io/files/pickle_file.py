"""Return values as pickles: on request, and for values that HDF5 cannot hold.

A file begins with the pickle of the value, so that plain `pickle.load`, which stops at its end,
reads it. The record of the call, the identity of the run and the file header follow, a line of text
each, then the length of these lines as a number of ten digits. The `rest` of the header is the
CRC-32 of everything before it, its `data` the range of record and identity with their own CRC-32.
"""

import contextlib
import copyreg
import io
import operator
import os
import pickle
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from acme_io.errors import DamagedFileError, NotStorableError, UnknownFileError
from acme_io.files import atomic
from acme_io.files.header import FileHeader, damaged
from acme_io.records.run_record import RunStamp

__all__ = ["read_pickle", "read_pickle_record", "write_pickle"]

# Digits of the length at the end of a file; part of the file format.
_DIGITS = 10
# Bytes, 64 MiB: a record with a long traceback needs far less. Ten digits at the end of a foreign
# file must not make a reader load gigabytes.
_LONGEST_TRAILER = 1 << 26


class _ChecksumWriter:
    """A file for a pickler that keeps size and CRC-32 of the bytes written.

    Large buffers reach the file without a copy, and the pickle is never in memory as a whole.
    """

    def __init__(self, file: Any) -> None:
        self.file, self.crc, self.size = file, 0, 0

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self.crc = zlib.crc32(view, self.crc)
        self.size += len(view)
        self.file.write(view)
        return len(view)


def write_pickle(path: str | Path, value: object, call: int, record: str, stamp: RunStamp) -> int:
    """Pickle the value of one call; under its final name the file is complete or absent.

    Parameters
    ----------
    path : path_like
        Final name; an existing file is replaced.
    value : object
        The return value.
    call : int
        Number of the call.
    record : str
        Record of the call, one line of JSON.
    stamp : RunStamp
        The run.

    Returns
    -------
    int
        Checksum of the file.

    Raises
    ------
    NotStorableError
        If the value cannot be pickled.
    OSError
        The operating system's own error.
    """
    temporary = atomic.temporary_path(path)
    handle = os.open(
        temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666
    )
    try:
        with open(handle, "wb") as file:
            out = _ChecksumWriter(file)
            _dump(value, out)
            lines = f"\n{record}\n{stamp.json}\n".encode()
            start = out.size
            out.write(lines)
            own = [(start, len(lines), zlib.crc32(lines))]
            header = FileHeader(
                "pickle", stamp.run_id, range(call, call + 1), 0, out.size, out.crc, own
            )
            # Not through `out`: the header carries the checksum of everything before it.
            trailer = lines + header.line()
            file.write(header.line() + b"%0*d" % (_DIGITS, len(trailer)))
        os.replace(temporary, path)
    except BaseException:
        atomic.remove(temporary)
        raise
    return header.checksum


def _dump(value: object, out: _ChecksumWriter) -> None:
    try:
        pickler = pickle.Pickler(out, protocol=5)
        pickler.dispatch_table = copyreg.dispatch_table | {memoryview: _reduced_view}
        pickler.dump(value)
    # A full disk is not a value that cannot be pickled.
    except OSError:
        raise
    # Pickling runs the value's own code, which may raise anything.
    except Exception as error:
        again = _pickle_by_value(value)
        if again is None:
            raise NotStorableError(
                f"A value of type {type(value).__name__} cannot be pickled: {error}"
            ) from error
        # The first attempt may have written a part.
        if out.size:
            out.file.seek(0)
            out.file.truncate()
            out.crc = out.size = 0
        out.write(again)


def _pickle_by_value(value: object) -> bytes | None:
    """Pickle an object of a class defined in this process only, if cloudpickle is installed."""
    # The fallback and not the rule: cloudpickle is slower, and copies classes of `__main__` into
    # every file.
    with contextlib.suppress(Exception):
        import cloudpickle

        class Pickler(cloudpickle.Pickler):  # type: ignore[misc] # it has no types
            # cloudpickle itself turns a memoryview into bytes.
            dispatch_table = cloudpickle.Pickler.dispatch_table | {memoryview: _reduced_view}

        with io.BytesIO() as file:
            Pickler(file, protocol=5).dump(value)
            return file.getvalue()
    return None


def _reduced_view(view: memoryview) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """Reduce a memoryview, which pickle does not support, to objects that `pickle.load` restores.

    Content, format, shape and writability are kept.
    """
    flat = memoryview(view.tobytes() if view.readonly else bytearray(view.tobytes()))
    if (view.format, view.shape) == (flat.format, flat.shape):
        return memoryview, (flat.obj,)
    # A view without elements cannot be given a shape.
    shape = () if view.ndim == 1 else (view.shape,)
    with contextlib.suppress(TypeError, ValueError):
        cast = operator.methodcaller("cast", view.format, *shape)
        if cast(flat).format == view.format:
            return cast, (flat,)
    # `cast` supports native formats of one letter only; NumPy supports the others.
    array: Any = np.array(view, order="C")
    if view.readonly:
        return operator.methodcaller("toreadonly"), (memoryview(array),)
    return memoryview, (array,)


def read_pickle(path: Path) -> Any:
    """Check a pickle file and load its value. Unpickling runs code: only for files you trust.

    Raises
    ------
    DamagedFileError
        If the file has changed since it was written, or its value cannot be unpickled here.
    """
    with open(path, "rb") as file:
        _read_trailer(file, path, check=True)
        file.seek(0)
        try:
            return pickle.load(file)
        except Exception as error:
            raise DamagedFileError(
                f"The value in {path} cannot be unpickled here: {type(error).__name__}: {error}. "
                "Are the modules it needs installed?"
            ) from error


def read_pickle_record(path: Path, *, check: bool = False) -> tuple[FileHeader, str, str]:
    """Return header, call record and run identity of a pickle file, without unpickling anything.

    Raises
    ------
    UnknownFileError
        If acme-io did not write the file, or it is truncated.
    DamagedFileError
        If its record has changed or, with `check`, any byte of it.
    """
    with open(path, "rb") as file:
        return _read_trailer(file, path, check=check)


def _read_trailer(file: Any, path: Path, *, check: bool) -> tuple[FileHeader, str, str]:
    size = file.seek(0, 2)
    file.seek(max(size - _DIGITS, 0))
    digits = file.read(_DIGITS)
    length = int(digits) if digits.isdigit() and len(digits) == _DIGITS else 0
    if not 0 < length <= min(size - _DIGITS, _LONGEST_TRAILER):
        raise UnknownFileError(f"{path} is truncated, or not a pickle file of acme-io.")
    start = size - _DIGITS - length
    file.seek(start)
    lines = file.read(length).split(b"\n")
    # Empty, record, identity, header, empty: the lines begin and end with a line break.
    if len(lines) != 5 or lines[0] or lines[4]:
        raise damaged(path, "its record cannot be read")
    header = FileHeader.parse(lines[3] + b"\n", path)
    if header.size != size - _DIGITS - len(lines[3]) - 1:
        raise damaged(path, "its length has changed")
    own = b"\n".join([*lines[:3], b""])
    if header.data != [(start, len(own), zlib.crc32(own))]:
        raise damaged(path, "its record has changed since it was written")
    if check and _crc(file, header.size) != header.rest:
        raise damaged(path, "its content has changed since it was written")
    return header, lines[1].decode(), lines[2].decode()


def _crc(file: Any, size: int) -> int:
    file.seek(0)
    crc = 0
    while size > 0 and (piece := file.read(min(size, 1 << 20))):
        crc = zlib.crc32(piece, crc)
        size -= len(piece)
    return crc
