"""What SLURM's commands print, read into numbers: pure text, no command is run here.

Sizes are bytes, times are seconds; None stands for "no limit" or "not said". Fields that are
missing, unknown or in another order do no harm: versions of SLURM differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

__all__ = [
    "JobState",
    "Limits",
    "Partition",
    "parse_jobs",
    "parse_number",
    "parse_partitions",
    "parse_qos",
    "parse_size",
    "parse_time",
    "parse_tres",
]

_NO_LIMIT = ("", "UNLIMITED", "INFINITE", "NONE", "N/A", "(NULL)", "NOT_SET")


@dataclass(frozen=True)
class Limits:
    """What a job may have.

    Attributes
    ----------
    memory : int or None
        Bytes per job.
    cpus : int or None
        Cores per job.
    jobs : int or None
        Jobs of one user at a time.
    """

    memory: int | None = None
    cpus: int | None = None
    jobs: int | None = None


@dataclass(frozen=True)
class Partition:
    """One partition as `scontrol` shows it.

    Attributes
    ----------
    name : str
        As `sbatch -p` wants it.
    default, up, hidden : bool
        Whether it is SLURM's default, takes jobs, and is left out of listings.
    memory_per_cpu, memory_per_node : int or None
        Bytes that a job gets if it asks for nothing; at most one of them is set.
    max_memory_per_cpu, max_memory_per_node : int or None
        Most bytes that a job may ask for.
    max_cpus_per_node : int or None
        Most cores of a node that jobs may use.
    max_time : int or None
        Longest run time in seconds.
    nodes, cpus : int
        Size of the partition.
    memory : int or None
        Bytes of all its nodes together.
    qos : str or None
        The QoS whose limits hold for its jobs.
    accounts, not_accounts : frozenset of str or None
        Accounts that may, and may not, use it.
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
        """Tell whether a user of these accounts may submit here.

        Parameters
        ----------
        accounts : iterable of str
            The user's accounts; none if they are not known, which excludes nothing.

        Returns
        -------
        bool
            False only if SLURM would refuse the job for its account.
        """
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
        SLURM's word, such as "PENDING" or "RUNNING".
    reason : str
        SLURM's word for why it is not running; "None" if there is none.
    """

    state: str
    reason: str


def parse_size(text: str) -> int | None:
    """Read a memory size of SLURM's, whose unit is megabytes if none is written.

    Parameters
    ----------
    text : str
        Such as "8G", "1.50T", "2000", "UNLIMITED"; a trailing "c" or "n" (per core, per node) is
        allowed.

    Returns
    -------
    int or None
        Bytes; None for no limit, and for what is no size.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGTP]?)B?[cn]?", text.strip(), re.IGNORECASE)
    if match is None:
        return None
    power = {"K": 1, "": 2, "M": 2, "G": 3, "T": 4, "P": 5}[match[2].upper()]
    return int(float(match[1]) * 1024**power)


def parse_time(text: str) -> int | None:
    """Read a time limit of SLURM's.

    Parameters
    ----------
    text : str
        "minutes", "minutes:seconds", "hours:minutes:seconds", "days-hours", "days-hours:minutes" or
        "days-hours:minutes:seconds" (the forms of `sbatch --time`), or "UNLIMITED".

    Returns
    -------
    int or None
        Seconds; None for no limit, and for what is no time.
    """
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text.strip())
    if match is None:
        return None
    days, *parts = match.groups()
    numbers = [int(part) for part in parts if part is not None]
    if days is not None:
        hours, minutes, seconds = [*numbers, 0, 0][:3]
        return ((int(days) * 24 + hours) * 60 + minutes) * 60 + seconds
    if len(numbers) == 3:
        return (numbers[0] * 60 + numbers[1]) * 60 + numbers[2]
    return numbers[0] * 60 + (numbers[1] if len(numbers) == 2 else 0)


def parse_number(text: str) -> int | None:
    """Read a count.

    Parameters
    ----------
    text : str
        Digits, or a word for no limit.

    Returns
    -------
    int or None
        The number; None for anything else.
    """
    digits = text.strip()
    return int(digits) if re.fullmatch(r"\d+", digits) else None


def parse_tres(text: str) -> dict[str, str]:
    """Split a list of trackable resources.

    Parameters
    ----------
    text : str
        Such as "cpu=8,mem=64G,gres/gpu=2", in any order.

    Returns
    -------
    dict of str to str
        By resource; entries without "=" are left out.
    """
    pairs = (item.split("=", 1) for item in text.split(",") if "=" in item)
    return {name.strip().lower(): value.strip() for name, value in pairs}


def parse_partitions(text: str) -> dict[str, Partition]:
    """Read the output of `scontrol show partition --all --oneliner`.

    Parameters
    ----------
    text : str
        One partition a line; fields that are missing or unknown do no harm.

    Returns
    -------
    dict of str to Partition
        By name, in the order of the output.
    """
    found = {}
    for line in text.splitlines():
        fields = dict(item.split("=", 1) for item in line.split() if "=" in item)
        if "PartitionName" in fields:
            found[fields["PartitionName"]] = _partition(fields)
    return found


def _partition(fields: Mapping[str, str]) -> Partition:
    def get(name: str) -> str:
        value = fields.get(name, "")
        return "" if value.upper() in _NO_LIMIT else value

    def accounts(name: str) -> frozenset[str]:
        return frozenset(item.lower() for item in get(name).split(",") if item)

    allowed = accounts("AllowAccounts")
    return Partition(
        name=fields["PartitionName"],
        default=get("Default").upper() == "YES",
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
    """Read the output of `sacctmgr --parsable2 show qos` with its header line.

    Parameters
    ----------
    text : str
        Columns in any order; those that are missing mean no limit.

    Returns
    -------
    dict of str to Limits
        By name in lower case.
    """
    lines = [line.rstrip("|").split("|") for line in text.splitlines() if "|" in line]
    if not lines:
        return {}
    header = [title.strip().lower() for title in lines[0]]
    found = {}
    for line in lines[1:]:
        row = dict(zip(header, line, strict=False))
        tres = parse_tres(row.get("maxtres", "") or row.get("maxtrespj", ""))
        found[row.get("name", "").strip().lower()] = Limits(
            memory=parse_size(tres.get("mem", "")),
            cpus=parse_number(tres.get("cpu", "")),
            jobs=parse_number(row.get("maxjobspu", "")),
        )
    return found


def parse_jobs(text: str) -> dict[str, JobState]:
    """Read the output of `squeue --noheader --format='%i|%T|%r'`.

    Parameters
    ----------
    text : str
        One job a line.

    Returns
    -------
    dict of str to JobState
        By job id.
    """
    rows = (line.split("|") for line in text.splitlines())
    return {
        row[0].strip(): JobState(row[1].strip(), row[2].strip()) for row in rows if len(row) == 3
    }
