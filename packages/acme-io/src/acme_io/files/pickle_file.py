"""Return values as pickles: a run that asks for them, and what HDF5 cannot hold.

To plain `pickle.load`, which stops where the pickle ends, a file is the pickle of the value and
nothing else. Behind it stand the call's record, the run's identity and the file header, a line of
text each, and the length of these lines as a number of ten digits. The header's `rest` is the
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
from acme_io.files.header import FileHeader
from acme_io.records.run_record import RunStamp

__all__ = ["read_pickle", "read_pickle_record", "write_pickle"]

_DIGITS = 10
_LONGEST_TRAILER = 1 << 26


class _Counting:
    """A file that keeps the CRC-32 of what is written to it."""

    def __init__(self, file: Any) -> None:
        self.file, self.crc, self.size = file, 0, 0

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self.crc = zlib.crc32(view, self.crc)
        self.size += len(view)
        self.file.write(view)
        return len(view)


def write_pickle(path: str | Path, value: object, call: int, record: str, stamp: RunStamp) -> int:
    """Pickle one call's value; under its own name the file is whole or not there.

    Parameters
    ----------
    path : path_like
        Final name; a file that has it is replaced.
    value : object
        What the call returned.
    call : int
        The call's number.
    record : str
        The call's record, one line of JSON.
    stamp : RunStamp
        The run.

    Returns
    -------
    int
        Checksum of the file.

    Raises
    ------
    NotStorableError
        The value cannot be pickled.
    OSError
        As the operating system says.
    """
    temporary = atomic.temporary_path(path)
    handle = os.open(
        temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666
    )
    try:
        with open(handle, "wb") as file:
            out = _Counting(file)
            _dump(value, out)
            lines = f"\n{record}\n{stamp.json}\n".encode()
            start = out.size
            out.write(lines)
            own = [(start, len(lines), zlib.crc32(lines))]
            header = FileHeader(
                "pickle", stamp.run_id, range(call, call + 1), 0, out.size, out.crc, own
            )
            trailer = lines + header.line()
            file.write(header.line() + b"%0*d" % (_DIGITS, len(trailer)))
        os.replace(temporary, path)
    except BaseException:
        atomic.remove(temporary)
        raise
    return header.checksum


def _dump(value: object, out: _Counting) -> None:
    try:
        pickler = pickle.Pickler(out, protocol=5)
        pickler.dispatch_table = copyreg.dispatch_table | {memoryview: _reduced_view}
        pickler.dump(value)
    except OSError:
        raise
    except Exception as error:  # pickling runs the value's own code: anything can come
        again = _pickle_by_value(value)
        if again is None:
            raise NotStorableError(
                f"A value of type {type(value).__name__} cannot be pickled: {error}"
            ) from error
        if out.size:
            out.file.seek(0)
            out.file.truncate()
            out.crc = out.size = 0
        out.write(again)


def _pickle_by_value(value: object) -> bytes | None:
    """Pickle an instance of a class that only this process knows, where cloudpickle is at hand."""
    with contextlib.suppress(Exception):
        import cloudpickle

        class Pickler(cloudpickle.Pickler):  # type: ignore[misc] # it has no types
            # cloudpickle itself would make bytes of a memoryview.
            dispatch_table = cloudpickle.Pickler.dispatch_table | {memoryview: _reduced_view}

        with io.BytesIO() as file:
            Pickler(file, protocol=5).dump(value)
            return file.getvalue()
    return None


def _reduced_view(view: memoryview) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """Reduce a memoryview, which pickle does not know, to what plain `pickle.load` undoes.

    Content, format and shape are kept, and whether it can be written to.
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
    # `cast` knows the native formats of one letter; whatever else has a buffer, NumPy knows.
    array: Any = np.array(view, order="C")
    if view.readonly:
        return operator.methodcaller("toreadonly"), (memoryview(array),)
    return memoryview, (array,)


def read_pickle(path: Path) -> Any:
    """Check a pickle file and load its value. Only for files of people you trust.

    Raises
    ------
    DamagedFileError
        The file has changed since it was written, or its value cannot be made here.
    """
    with open(path, "rb") as file:
        _read_trailer(file, path, check=True)
        file.seek(0)
        try:
            return pickle.load(file)
        except Exception as error:
            raise DamagedFileError(
                f"The value in {path} cannot be unpickled here: {type(error).__name__}: {error}. "
                "Are the modules that it needs installed?"
            ) from error


def read_pickle_record(path: Path, *, check: bool = False) -> tuple[FileHeader, str, str]:
    """Read header, call record and run identity of a pickle file; nothing is unpickled.

    Raises
    ------
    UnknownFileError
        acme-io did not write the file.
    DamagedFileError
        It is cut short, or (with `check`) has changed.
    """
    with open(path, "rb") as file:
        return _read_trailer(file, path, check=check)


def _read_trailer(file: Any, path: Path, *, check: bool) -> tuple[FileHeader, str, str]:
    size = file.seek(0, 2)
    file.seek(max(size - _DIGITS, 0))
    digits = file.read(_DIGITS)
    length = int(digits) if digits.isdigit() and len(digits) == _DIGITS else 0
    if not 0 < length <= min(size - _DIGITS, _LONGEST_TRAILER):
        raise UnknownFileError(f"{path} is cut short, or not a pickle file of acme-io.")
    start = size - _DIGITS - length
    file.seek(start)
    lines = file.read(length).split(b"\n")
    if len(lines) != 5 or lines[0] or lines[4]:
        raise DamagedFileError(f"{path} is damaged: its record cannot be read.")
    header = FileHeader.parse(lines[3] + b"\n", path)
    if header.size != size - _DIGITS - len(lines[3]) - 1:
        raise DamagedFileError(f"{path} is damaged: its length has changed.")
    own = b"\n".join([*lines[:3], b""])
    if header.data != [(start, len(own), zlib.crc32(own))]:
        raise DamagedFileError(f"{path} is damaged: its record has changed since it was written.")
    if check and _crc(file, header.size) != header.rest:
        raise DamagedFileError(f"{path} is damaged: its content has changed since it was written.")
    return header, lines[1].decode(), lines[2].decode()


def _crc(file: Any, size: int) -> int:
    file.seek(0)
    crc = 0
    while size > 0 and (piece := file.read(min(size, 1 << 20))):
        crc = zlib.crc32(piece, crc)
        size -= len(piece)
    return crc
