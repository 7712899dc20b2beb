"""The names of folders, files, groups and datasets. No other module spells one out.

::

    OUTPUT_DIR/
        f.h5                    container
        f_payload/
            f_0.h5              payload of call 0
            f_100-199.h5        payload of a batch (with a result shape)
            f_3.pickle          call 3, whose value HDF5 cannot hold
        f_report.html           page about the run, if requested
        f_record.h5             record of a run that writes pickles
        f_0.pickle              its payloads
        .f_parts/               part files of a run that writes a single file
        .f.claim                run lock, while a run writes here
"""

import re
from pathlib import Path, PurePosixPath
from typing import NamedTuple

__all__ = [
    "CallFile",
    "call_group",
    "claim_name",
    "clean_name",
    "container_name",
    "parse_payload_name",
    "part_name",
    "parts_folder",
    "payload_folder",
    "payload_name",
    "pickle_name",
    "record_name",
    "report_name",
    "result_name",
    "temporary_name",
]

MAX_NAME = 100
"""Longest function name in a file name, in bytes.

Call numbers and the suffix of a temporary file bring it to less than 255, the limit of Linux file
systems.
"""

# Names that Windows reserves for devices, with any extension; the superscript digits count too, see
# https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {
    f"{device}{number}" for device in ("COM", "LPT") for number in "123456789¹²³"
}


def clean_name(name: str) -> str:
    """Return a function's name in a form that is valid in file names.

    Parameters
    ----------
    name : str
        Name of a function, `<lambda>` for example.

    Returns
    -------
    str
        Letters, digits, `_`, `-` and `.` only, never empty; `"lambda"` in the example.
    """
    # Leading dots would hide a file; Windows drops trailing ones.
    kept = re.sub(r"[^\w.-]+", "_", name.replace("<", "").replace(">", "")).strip("._-")
    # File systems count bytes, and \w admits letters of several bytes. "replace" is for names with
    # lone surrogates.
    while len(kept.encode("utf-8", "replace")) > MAX_NAME:
        kept = kept[:-1]
    if not kept:
        return "function"
    device, dot, rest = kept.partition(".")
    return f"{device}_{dot}{rest}" if device.upper() in _DEVICES else kept


def container_name(name: str) -> str:
    """File name of a run's container."""
    return f"{name}.h5"


def record_name(name: str) -> str:
    """File name of the record of a run that writes pickles."""
    return f"{name}_record.h5"


def report_name(name: str) -> str:
    """File name of a run's report."""
    return f"{name}_report.html"


def claim_name(name: str) -> str:
    """File name of the run lock."""
    return f".{name}.claim"


def payload_folder(name: str) -> str:
    """Folder name of the payloads."""
    return f"{name}_payload"


def parts_folder(name: str) -> str:
    """Folder name of the part files of a single file that is being written."""
    return f".{name}_parts"


def payload_name(name: str, calls: range) -> str:
    """File name of a payload, without its folder."""
    return f"{name}_{_numbers(calls)}.h5"


def folder_name(folder: str) -> str | None:
    """Return the function name of a payload or parts folder; None for any other folder."""
    # NUL marks the place of the function name, since no file name contains it.
    for make in (payload_folder, parts_folder):
        before, after = make("\0").split("\0")
        if folder.startswith(before) and folder.endswith(after):
            return folder[len(before) : len(folder) - len(after)] or None
    return None


def part_name(name: str, calls: range) -> str:
    """File name of a part file, without its folder."""
    return f"{name}_{_numbers(calls)}.part.h5"


def pickle_name(name: str, call: int) -> str:
    """File name of a call's pickle, without its folder."""
    return f"{name}_{call}.pickle"


def call_group(call: int) -> str:
    """Name of a call's group in a container."""
    return f"comp_{call}"


def result_name(index: int) -> str:
    """Name of the dataset of the return value at `index`."""
    return f"result_{index}"


def temporary_name(name: str, token: str) -> str:
    """Name of a file while it is written: hidden, and without a known extension."""
    # `*.h5` in a shell or a glob must not match an incomplete file.
    return f".{name}.{token}.tmp"


def is_temporary(file_name: str, name: str, folder: str) -> bool:
    """Whether a file is a temporary file of the function `name`.

    Parameters
    ----------
    file_name : str
        Name of the file.
    name : str
        The cleaned function name.
    folder : str
        The folder of the file, relative to the output directory; empty for the directory itself.
    """
    # The rest must be a name of ours too: other functions' names may begin with this one's.
    if not (file_name.startswith(f".{name}") and file_name.endswith(".tmp")):
        return False
    final = file_name[1:].rsplit(".", 2)[0]
    parsed = parse_payload_name(final)
    if not folder and final in (container_name(name), record_name(name)):
        return True
    # In the output directory `f_1.h5` is the container of a function `f_1`, which may be running
    # with a lock of its own. The payloads of `f` there are pickles; all others lie in folders.
    payload = parsed is not None and parsed.name == name
    return payload and (bool(folder) or (parsed is not None and parsed.kind == "pickle"))


def relative(folder: str, file: str) -> str:
    """Path of a file relative to the output directory, with forward slashes on every system."""
    # Containers store these paths, and may be copied to another system.
    return f"{folder}/{file}" if folder else file


def local(output_dir: Path, relative_path: str) -> Path:
    """Return the path on this system for a path from `relative`."""
    return output_dir.joinpath(*PurePosixPath(relative_path).parts)


class CallFile(NamedTuple):
    """The parts of a payload's file name; `kind` is `"h5"`, `"part.h5"` or `"pickle"`."""

    name: str
    calls: range
    kind: str


# The name is matched greedily: in `f_2_3.h5` the function is `f_2`.
_PAYLOAD = re.compile(r"(?P<name>.+)_(?P<a>\d+)(?:-(?P<b>\d+))?\.(?P<kind>part\.h5|h5|pickle)\Z")


def parse_payload_name(file_name: str) -> CallFile | None:
    """Parse the file name of a payload; return None for any other name."""
    match = None if file_name.startswith(".") else _PAYLOAD.match(file_name)
    if match is None:
        return None
    first = int(match["a"])
    last = first if match["b"] is None else int(match["b"])
    if last < first:
        return None
    return CallFile(match["name"], range(first, last + 1), match["kind"])


def _numbers(calls: range) -> str:
    """Format the calls of a file as `"7"` or `"0-99"`."""
    return str(calls[0]) if len(calls) == 1 else f"{calls[0]}-{calls[-1]}"
