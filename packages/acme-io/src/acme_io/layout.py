"""Names: of folders, files, groups and datasets. No other module spells one out.

::

    OUTPUT_DIR/
        f.h5                    container
        f_payload/
            f_0.h5              payload of call 0
            f_100-199.h5        payload of a batch (with a result shape)
            f_3.pickle          call 3, whose value HDF5 cannot hold
        f_report.html           page about the run, where somebody asked for one
        f_record.h5             record of a run that writes pickles
        f_0.pickle              its payloads
        .f_parts/               part files of a run that writes a single file
        .f.claim                the run that is writing here
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
"""Longest function name in a file name, bytes: with call numbers it stays below 255."""

# Names that Windows keeps for devices, whatever their extension.
_DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {
    f"{device}{number}" for device in ("COM", "LPT") for number in "123456789¹²³"
}


def clean_name(name: str) -> str:
    """Turn a function's name into one that is fit for file names.

    Parameters
    ----------
    name : str
        Name of a function, `<lambda>` for example.

    Returns
    -------
    str
        Letters, digits, `_`, `-` and `.` only, never empty; `"lambda"` in the example.
    """
    kept = re.sub(r"[^\w.-]+", "_", name.replace("<", "").replace(">", "")).strip("._-")
    # Length counts in bytes on disk; \w admits letters of several bytes.
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
    """File name of the claim of the run that is writing."""
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
    """Read the function name from the name of a payload or parts folder; None for any other."""
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
    """Name under which a file is written before it gets its own: hidden, no known extension."""
    return f".{name}.{token}.tmp"


def is_temporary(file_name: str, name: str) -> bool:
    """Whether a file is a temporary one of the function `name`."""
    if not (file_name.startswith(f".{name}") and file_name.endswith(".tmp")):
        return False
    final = file_name[1:].rsplit(".", 2)[0]
    parsed = parse_payload_name(final)
    own = (container_name(name), record_name(name))
    return final in own or (parsed is not None and parsed.name == name)


def relative(folder: str, file: str) -> str:
    """Path of a file in a folder beside the container, with forward slashes on every system."""
    return f"{folder}/{file}" if folder else file


def local(output_dir: Path, relative_path: str) -> Path:
    """Turn a path from `relative` into one of this system."""
    return output_dir.joinpath(*PurePosixPath(relative_path).parts)


class CallFile(NamedTuple):
    """What the name of a payload says; `kind` is `"h5"`, `"part.h5"` or `"pickle"`."""

    name: str
    calls: range
    kind: str


_PAYLOAD = re.compile(r"(?P<name>.+)_(?P<a>\d+)(?:-(?P<b>\d+))?\.(?P<kind>part\.h5|h5|pickle)\Z")


def parse_payload_name(file_name: str) -> CallFile | None:
    """Read the name of a payload; `None` if it is not one."""
    match = None if file_name.startswith(".") else _PAYLOAD.match(file_name)
    if match is None:
        return None
    first = int(match["a"])
    last = first if match["b"] is None else int(match["b"])
    if last < first:
        return None
    return CallFile(match["name"], range(first, last + 1), match["kind"])


def _numbers(calls: range) -> str:
    """Spell the calls of a file, `"7"` or `"0-99"`."""
    return str(calls[0]) if len(calls) == 1 else f"{calls[0]}-{calls[-1]}"
