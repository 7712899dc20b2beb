"""The GPUs of this machine, and how workers share them out.

    CUDA_VISIBLE_DEVICES, else nvidia-smi, else /dev/nvidia* ─► Devices ─► one share per worker

A worker finds its share in `CUDA_VISIBLE_DEVICES`, which CUDA reads when a program first uses it.
AMD's HIP reads that variable too, counting within `ROCR_VISIBLE_DEVICES`: the latter must stay as
SLURM has set it, because cutting both would leave no device. No CUDA is needed here.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = [
    "VARIABLE",
    "Devices",
    "counted",
    "devices_here",
    "devices_of_job",
    "parse_listing",
    "parse_visible",
    "shares",
]

VARIABLE = "CUDA_VISIBLE_DEVICES"

# Seconds. Without its persistence daemon the driver wakes each GPU first, which takes a few.
_LISTING_TIMEOUT = 30.0


@dataclass(frozen=True)
class Devices:
    """GPUs that a process may use.

    Attributes
    ----------
    names : tuple of str
        Their names as in `CUDA_VISIBLE_DEVICES`: numbers, or UUIDs of GPUs and MIG devices.
    source : str
        Where the names come from, for messages.
    """

    names: tuple[str, ...]
    source: str


def counted(number: int) -> str:
    """Return a number of GPUs in words, such as "1 GPU"."""
    return f"{number} GPU{'' if number == 1 else 's'}"


def shares(names: Sequence[str], per_worker: int) -> tuple[str, ...]:
    """Cut devices into disjoint shares of equal size.

    Parameters
    ----------
    names : sequence of str
        The devices, each once.
    per_worker : int
        Devices of one share, at least 1.

    Returns
    -------
    tuple of str
        Values for `CUDA_VISIBLE_DEVICES`, as many as there are whole shares.

    Examples
    --------
    >>> shares(["0", "1", "2", "3", "4"], 2)
    ('0,1', '2,3')
    """
    last = len(names) - per_worker
    return tuple(",".join(names[i : i + per_worker]) for i in range(0, last + 1, per_worker))


def parse_visible(text: str) -> tuple[str, ...]:
    """Parse a value of `CUDA_VISIBLE_DEVICES` as CUDA reads it.

    Parameters
    ----------
    text : str
        Numbers, or names that begin with "GPU-" or "MIG-", separated by commas.

    Returns
    -------
    tuple of str
        The devices, each once. The first entry that names no device ends the list. So does a name
        behind numbers or a number behind names: both could mean the same device.

    Examples
    --------
    >>> parse_visible("2,0,-1,1")
    ('2', '0')
    """
    found: list[str] = []
    for entry in (part.strip() for part in text.split(",")):
        is_number = entry.isascii() and entry.isdigit()
        if not is_number and not entry.startswith(("GPU-", "MIG-")):
            break
        if found and is_number != found[0].isdigit():
            break
        name = (entry.lstrip("0") or "0") if is_number else entry
        if name not in found:
            found.append(name)
    return tuple(found)


def parse_listing(text: str) -> tuple[str, ...]:
    """Parse the output of `nvidia-smi -L`.

    Parameters
    ----------
    text : str
        A line for each GPU, followed by indented lines for its MIG devices.

    Returns
    -------
    tuple of str
        The devices: numbers, unless some GPU is divided into MIG devices, which have names only.
    """
    found: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if match := re.match(r"GPU \d+:.*\(UUID: (GPU-[^)\s]+)\)", line):
            found.append((match[1], []))
        elif found and (match := re.match(r"\s+MIG .*\(UUID: (MIG-[^)\s]+)\)", line)):
            found[-1][1].append(match[1])
    if not any(parts for _, parts in found):
        # CUDA counts in another order than nvidia-smi, but it counts the same devices.
        return tuple(str(number) for number in range(len(found)))
    return tuple(name for gpu, parts in found for name in (parts or [gpu]))


def devices_here(environ: Mapping[str, str] = os.environ) -> Devices:
    """Return the GPUs that this process may use.

    Parameters
    ----------
    environ : mapping, optional
        By default the environment of this process.

    Returns
    -------
    Devices
        Those in `CUDA_VISIBLE_DEVICES` if it is set, which may be none; else all of the machine.
    """
    inherited = environ.get(VARIABLE)
    if inherited is not None:
        return Devices(parse_visible(inherited), f"{VARIABLE}={inherited!r}")
    listing = _nvidia_smi()
    if listing is not None:
        return Devices(parse_listing(listing), "as nvidia-smi lists them")
    # The numbers of these files are not those of CUDA, which counts from 0 what a process can
    # open. In a container, /dev/nvidia3 alone is device 0.
    count = len(glob.glob("/dev/nvidia[0-9]*"))
    source = "as in /dev" if count else "nvidia-smi gives no answer, /dev has no nvidia*"
    return Devices(tuple(map(str, range(count))), source)


def _nvidia_smi() -> str | None:
    command = shutil.which("nvidia-smi")
    if command is None:
        return None
    try:
        done = subprocess.run(
            [command, "-L"], capture_output=True, text=True, errors="replace",
            timeout=_LISTING_TIMEOUT,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def devices_of_job(environ: Mapping[str, str] = os.environ) -> Devices:
    """Return the GPUs that SLURM gave the job of this process.

    Parameters
    ----------
    environ : mapping, optional
        By default the environment of this process.

    Returns
    -------
    Devices
        None of the machine's others: these belong to other jobs.
    """
    # SLURM sets both variables together. A job without GPUs has the first from its user's shell
    # on the login node, if it is set there; hence the second decides.
    granted = environ.get("SLURM_JOB_GPUS")
    if not granted:
        return Devices((), "SLURM_JOB_GPUS is not set")
    if VARIABLE in environ:
        return Devices(parse_visible(environ[VARIABLE]), f"{VARIABLE}={environ[VARIABLE]!r}")
    # `Flags=amd_gpu_env` in gres.conf leaves it out; HIP counts from 0 within the job.
    count = len(granted.split(","))
    return Devices(tuple(map(str, range(count))), f"SLURM_JOB_GPUS={granted!r}")
