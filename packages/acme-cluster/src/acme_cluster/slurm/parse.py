"""Parsers of SLURM's output. No command is run here.

Sizes are in bytes and times in seconds; None stands for "no limit" and "not reported". Versions of
SLURM differ, so missing and unknown fields are tolerated, and fields may come in any order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

__all__ = [
    "JobState",
    "Limits",
    "NodeGroup",
    "Partition",
    "parse_gres",
    "parse_jobs",
    "parse_node_groups",
    "parse_number",
    "parse_partitions",
    "parse_qos",
    "parse_size",
    "parse_time",
    "parse_tres",
]

# Spellings of "no limit" and "no value" in scontrol and sacctmgr, in upper case.
_NO_LIMIT = ("", "UNLIMITED", "INFINITE", "NONE", "N/A", "(NULL)", "NOT_SET")


@dataclass(frozen=True)
class Limits:
    """Limits of a QoS.

    Attributes
    ----------
    memory : int or None
        Most bytes per job.
    cpus : int or None
        Most cores per job.
    jobs : int or None
        Most jobs of one user at a time.
    gpus : int or None
        Most GPUs per job.
    """

    memory: int | None = None
    cpus: int | None = None
    jobs: int | None = None
    gpus: int | None = None


@dataclass(frozen=True)
class NodeGroup:
    """Nodes of a partition that have the same generic resources (gres).

    Attributes
    ----------
    nodes : int
        How many they are.
    gres : str
        Resources of each, such as "gpu:a100:4(S:0-1)"; "(null)" for none.
    """

    nodes: int
    gres: str


@dataclass(frozen=True)
class Partition:
    """One partition as `scontrol` shows it.

    Attributes
    ----------
    name : str
        Name, for `sbatch -p`.
    default, up, hidden : bool
        Whether it is SLURM's default, accepts jobs, and is left out of listings.
    memory_per_cpu, memory_per_node : int or None
        Bytes of a job that asks for no amount; at most one of the two is set.
    max_memory_per_cpu, max_memory_per_node : int or None
        Most bytes that a job may ask for.
    max_cpus_per_node : int or None
        Most cores of a node that jobs may use.
    max_time : int or None
        Longest run time in seconds.
    nodes, cpus : int
        Nodes, and cores of all nodes together.
    memory : int or None
        Bytes of all nodes together.
    qos : str or None
        Name of the QoS whose limits hold for all jobs of the partition.
    accounts, not_accounts : frozenset of str
        Accounts that may, and may not, use it, in lower case; `accounts` is None for all.
    """

    name: str
    default: bool = False
    up: bool = True
    hidden: bool = False
    memory_per_cpu: int | None = None
    memory_per_node: int | None = None
    max_memory_per_cpu: int | None = None
    max_memory_per_node: int | None = None
    max_cpus_per_node: int | None = None
    max_time: int | None = None
    nodes: int = 0
    cpus: int = 0
    memory: int | None = None
    qos: str | None = None
    accounts: frozenset[str] | None = field(default=None)
    not_accounts: frozenset[str] = field(default=frozenset())

    def open_to(self, accounts: Iterable[str]) -> bool:
        """Return whether a user with these accounts may submit here.

        Parameters
        ----------
        accounts : iterable of str
            Accounts of the user; empty if unknown.

        Returns
        -------
        bool
            False only if SLURM would refuse the job because of its account.
        """
        # In lower case, as SLURM's accounting stores names of accounts.
        mine = {account.lower() for account in accounts}
        if not mine:
            return True
        if self.accounts is not None and not mine & self.accounts:
            return False
        return not mine <= self.not_accounts


@dataclass(frozen=True)
class JobState:
    """State of one job in the queue.

    Attributes
    ----------
    state : str
        Job state code, such as "PENDING" or "RUNNING".
    reason : str
        Reason code of a pending job; "None" for other jobs.
    """

    state: str
    reason: str


def parse_size(text: str) -> int | None:
    """Parse a memory size, in megabytes if it has no unit.

    Parameters
    ----------
    text : str
        Such as "8G", "1.50T", "2000" or "UNLIMITED"; a final "c" or "n" (per core, per node) is
        ignored.

    Returns
    -------
    int or None
        Bytes; None for no limit, and for any other text.
    """
    # Not `sizes.parse_memory`: for a user a number without a unit is bytes, for SLURM megabytes.
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGTP]?)B?[cn]?", text.strip(), re.IGNORECASE)
    if match is None:
        return None
    power = {"K": 1, "": 2, "M": 2, "G": 3, "T": 4, "P": 5}[match[2].upper()]
    return int(float(match[1]) * 1024**power)


def parse_time(text: str) -> int | None:
    """Parse a time limit.

    Parameters
    ----------
    text : str
        "minutes", "minutes:seconds", "hours:minutes:seconds", "days-hours", "days-hours:minutes" or
        "days-hours:minutes:seconds" (the forms of `sbatch --time`), or "UNLIMITED".

    Returns
    -------
    int or None
        Seconds; None for no limit, and for any other text.
    """
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text.strip())
    if match is None:
        return None
    days, *parts = match.groups()
    numbers = [int(part) for part in parts if part is not None]
    # The meaning of the first number depends on the form: hours behind days and in three numbers,
    # else minutes.
    if days is not None:
        hours, minutes, seconds = [*numbers, 0, 0][:3]
        return ((int(days) * 24 + hours) * 60 + minutes) * 60 + seconds
    if len(numbers) == 3:
        return (numbers[0] * 60 + numbers[1]) * 60 + numbers[2]
    return numbers[0] * 60 + (numbers[1] if len(numbers) == 2 else 0)


def parse_number(text: str) -> int | None:
    """Parse a count.

    Parameters
    ----------
    text : str
        Digits, or a word for no limit.

    Returns
    -------
    int or None
        The number; None for any other text.
    """
    # `int` alone also takes "1_000" and "-1".
    digits = text.strip()
    return int(digits) if re.fullmatch(r"\d+", digits) else None


def parse_tres(text: str) -> dict[str, str]:
    """Split a list of trackable resources (TRES).

    Parameters
    ----------
    text : str
        Such as "cpu=8,mem=64G,gres/gpu=2", in any order.

    Returns
    -------
    dict of str to str
        Amounts by resource, in lower case; entries without "=" are left out.
    """
    pairs = (item.split("=", 1) for item in text.split(",") if "=" in item)
    return {name.strip().lower(): value.strip() for name, value in pairs}


def parse_partitions(text: str) -> dict[str, Partition]:
    """Parse the output of `scontrol show partition --all --oneliner`.

    Parameters
    ----------
    text : str
        One partition per line, as "Key=value" fields.

    Returns
    -------
    dict of str to Partition
        By name, in the order of the output.
    """
    found = {}
    for line in text.splitlines():
        # Split at the first "=": values such as TRES contain more. None that is used has spaces.
        fields = dict(item.split("=", 1) for item in line.split() if "=" in item)
        if "PartitionName" in fields:
            found[fields["PartitionName"]] = _partition(fields)
    return found


def _partition(fields: Mapping[str, str]) -> Partition:
    # `or None` below: SLURM writes 0 for "not limited" in several of these fields.
    def get(name: str) -> str:
        value = fields.get(name, "")
        return "" if value.upper() in _NO_LIMIT else value

    def accounts(name: str) -> frozenset[str]:
        return frozenset(item.lower() for item in get(name).split(",") if item)

    allowed = accounts("AllowAccounts")
    return Partition(
        name=fields["PartitionName"],
        default=get("Default").upper() == "YES",
        # DOWN and INACTIVE start no jobs, DRAIN takes none.
        up=get("State").upper() in ("", "UP"),
        hidden=get("Hidden").upper() == "YES",
        memory_per_cpu=parse_size(get("DefMemPerCPU")) or None,
        memory_per_node=parse_size(get("DefMemPerNode")) or None,
        max_memory_per_cpu=parse_size(get("MaxMemPerCPU")) or None,
        max_memory_per_node=parse_size(get("MaxMemPerNode")) or None,
        max_cpus_per_node=parse_number(get("MaxCPUsPerNode")),
        max_time=parse_time(get("MaxTime")),
        nodes=parse_number(get("TotalNodes")) or 0,
        cpus=parse_number(get("TotalCPUs")) or 0,
        memory=parse_size(parse_tres(fields.get("TRES", "")).get("mem", "")),
        qos=get("QoS") or None,
        accounts=None if not allowed or "all" in allowed else allowed,
        not_accounts=accounts("DenyAccounts"),
    )


def parse_qos(text: str) -> dict[str, Limits]:
    """Parse the output of `sacctmgr --parsable2 show qos` with its header line.

    Parameters
    ----------
    text : str
        Columns in any order; a missing column means no limit.

    Returns
    -------
    dict of str to Limits
        By name, in lower case.
    """
    # All columns are requested and found by their titles: sacctmgr fails for a column that a
    # version does not know.
    lines = [line.rstrip("|").split("|") for line in text.splitlines() if "|" in line]
    if not lines:
        return {}
    header = [title.strip().lower() for title in lines[0]]
    found = {}
    for line in lines[1:]:
        # Not strict: `rstrip` above also takes the empty columns at the end of a row.
        row = dict(zip(header, line, strict=False))
        # Two titles of the column of limits per job.
        tres = parse_tres(row.get("maxtres", "") or row.get("maxtrespj", ""))
        found[row.get("name", "").strip().lower()] = Limits(
            memory=parse_size(tres.get("mem", "")),
            cpus=parse_number(tres.get("cpu", "")),
            jobs=parse_number(row.get("maxjobspu", "")),
            gpus=parse_number(tres.get("gres/gpu", "")),
        )
    return found


def parse_gres(text: str, wanted: str) -> int:
    """Count a generic resource in SLURM's list of those of a node.

    Parameters
    ----------
    text : str
        Such as "gpu:a100:2(S:0-1),gpu:t4:2(S:0,1),shard:16" or "(null)".
    wanted : str
        Name of the resource, such as "gpu", or name and type, such as "gpu:t4".

    Returns
    -------
    int
        The units of this resource; without a type in `wanted`, those of all its types.

    Examples
    --------
    >>> parse_gres("gpu:a100:2(S:0-1),gpu:t4:1(S:1)", "gpu")
    3
    """
    name, _, kind = wanted.partition(":")
    total = 0
    # Sockets in parentheses may contain commas.
    for entry in re.sub(r"\([^)]*\)", "", text).split(","):
        parts = entry.strip().split(":")
        if parts[0] != name or (kind and kind not in parts[1:]):
            continue
        # Without a number, as `Gres=gpu` in slurm.conf, it is one.
        number = parse_number(parts[-1])
        total += 1 if number is None else number
    return total


def parse_node_groups(text: str) -> dict[str, list[NodeGroup]]:
    """Parse the output of `sinfo --noheader --format='%R|%D|%G'`.

    Parameters
    ----------
    text : str
        One group of nodes per line; other lines, such as warnings, are skipped.

    Returns
    -------
    dict of str to list of NodeGroup
        By partition.
    """
    found: dict[str, list[NodeGroup]] = {}
    for row in (line.split("|") for line in text.splitlines()):
        nodes = parse_number(row[1]) if len(row) == 3 else None
        if nodes is not None:
            found.setdefault(row[0].strip(), []).append(NodeGroup(nodes, row[2].strip()))
    return found


def parse_jobs(text: str) -> dict[str, JobState]:
    """Parse the output of `squeue --noheader --format='%i|%T|%r'`.

    Parameters
    ----------
    text : str
        One job per line; other lines, such as warnings, are skipped.

    Returns
    -------
    dict of str to JobState
        By job id.
    """
    rows = (line.split("|") for line in text.splitlines())
    return {
        row[0].strip(): JobState(row[1].strip(), row[2].strip()) for row in rows if len(row) == 3
    }
