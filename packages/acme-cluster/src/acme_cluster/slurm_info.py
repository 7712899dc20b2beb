"""What SLURM says about itself: partitions, limits, jobs. Nothing else here reads SLURM's output.

The functions that start with `parse` take text and know no SLURM; the others run a command and hand
its output to them. Sizes are bytes, times are seconds; None stands for "no limit" or "not said".
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from acme_cluster.errors import CommandError, SlurmUnavailableError
from acme_cluster.sizes import format_memory

__all__ = [
    "JobState",
    "Limits",
    "Partition",
    "available",
    "clean_environment",
    "end_of_job",
    "explain",
    "job_states",
    "partitions",
    "qos_limits",
    "run",
    "usable",
]

# A controller that is busy answers within seconds; one that is down makes squeue wait for nine.
_TIMEOUT = 30.0
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


# ---------------------------------------------------------------------------- parsing


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


# ------------------------------------------------------------------ running commands


def available() -> bool:
    """Tell whether this machine has SLURM's commands.

    Returns
    -------
    bool
        True if jobs can be submitted and cancelled from here.
    """
    return all(shutil.which(name) for name in ("sbatch", "scancel", "squeue", "scontrol"))


def usable() -> bool:
    """Tell whether this machine belongs to a SLURM cluster.

    Returns
    -------
    bool
        False without SLURM's commands, where they are installed and know of no cluster, and where
        the controller would be this very machine and does not run. A controller elsewhere that
        does not answer at present is no reason for False: the machine is part of a cluster all the
        same.
    """
    if not available():
        return False
    try:
        run("scontrol", "ping")
    except CommandError as error:
        said = error.output.lower()
        if any(words in said for words in ("configuration source", "configuration file")):
            return False
        down = set(re.findall(r"\bat (\S+) is down", said))
        return not down or bool(down - {socket.gethostname().split(".")[0].lower()})
    return True


def clean_environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment without what a surrounding job says about itself.

    Parameters
    ----------
    environ : mapping, optional
        By default that of this process.

    Returns
    -------
    dict of str to str
        Without `SBATCH_*`, `SLURM_*` and `SALLOC_*`, which `sbatch` would take for options of the
        new job; where SLURM's configuration is (`SLURM_CONF`) stays.
    """
    prefixes = ("SBATCH_", "SLURM_", "SALLOC_", "SRUN_", "SLURMD_", "SQUEUE_", "SACCT_", "SINFO_")
    return {k: v for k, v in environ.items() if k == "SLURM_CONF" or not k.startswith(prefixes)}


def run(*command: str, timeout: float = _TIMEOUT, advice: str = "") -> str:
    """Run a command of SLURM.

    Parameters
    ----------
    *command : str
        Program and arguments.
    timeout : float, default 30
        Seconds after which it is stopped.
    advice : str, optional
        What the user can do if it fails.

    Returns
    -------
    str
        What it printed.

    Raises
    ------
    CommandError
        It failed or did not answer; with command, exit code and output.
    SlurmUnavailableError
        There is no such program here.
    """
    environ = {**clean_environment(), "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command, env=environ, capture_output=True, text=True, timeout=timeout, errors="replace"
        )
    except FileNotFoundError as error:
        raise SlurmUnavailableError(
            f"The command `{command[0]}` was not found: this machine has no SLURM. Run this on a "
            "login node of the cluster, or use local_cluster_setup()."
        ) from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(
            command, None, f"nothing within {timeout:.0f} s", advice or _CONTROLLER
        ) from error
    if done.returncode != 0:
        raise CommandError(command, done.returncode, done.stdout + done.stderr, advice)
    return done.stdout


_CONTROLLER = "Look with `scontrol ping` whether SLURM's controller is up, and try again later."


def partitions() -> dict[str, Partition]:
    """Ask SLURM for its partitions.

    Returns
    -------
    dict of str to Partition
        All of them, also those that are down, hidden or closed to this user.

    Raises
    ------
    CommandError
        `scontrol` failed.
    """
    return parse_partitions(run("scontrol", "--all", "--oneliner", "show", "partition"))


def qos_limits() -> dict[str, Limits]:
    """Ask SLURM's accounting for the limits of each QoS.

    Returns
    -------
    dict of str to Limits
        By name in lower case; empty if there is no accounting, or it does not answer: then there is
        nothing to cap requests by, and SLURM itself has the last word.
    """
    try:
        return parse_qos(run("sacctmgr", "--parsable2", "show", "qos"))
    except (CommandError, SlurmUnavailableError):
        return {}


def my_accounts() -> frozenset[str]:
    """Ask SLURM's accounting for the accounts of this user.

    Returns
    -------
    frozenset of str
        In lower case; empty if they are not known.
    """
    import getpass

    command = (
        "sacctmgr",
        "--parsable2",
        "--noheader",
        "show",
        "assoc",
        f"user={getpass.getuser()}",
    )
    try:
        text = run(*command, "format=account")
    except (CommandError, SlurmUnavailableError):
        return frozenset()
    return frozenset(line.strip("| ").lower() for line in text.splitlines() if line.strip("| "))


def job_states(jobs: Sequence[str]) -> dict[str, JobState]:
    """Ask SLURM for the state of jobs that are in its queue.

    Parameters
    ----------
    jobs : sequence of str
        Job ids.

    Returns
    -------
    dict of str to JobState
        By id; jobs that have left the queue are not in it.

    Raises
    ------
    CommandError
        `squeue` failed. That a job is no longer known is not a failure.
    """
    if not jobs:
        return {}
    # All of the user's jobs, then chosen here: asked for ids that it has forgotten, squeue fails.
    wanted = set(jobs)
    text = run("squeue", "--all", "--noheader", "--me", "--format=%i|%T|%r")
    return {job: state for job, state in parse_jobs(text).items() if job in wanted}


def end_of_job(job: str) -> str:
    """Ask SLURM how a job ended.

    Parameters
    ----------
    job : str
        Job id.

    Returns
    -------
    str
        In words, for a message; "unknown" if neither the controller nor the accounting remembers
        it.
    """
    try:
        text = run("scontrol", "--oneliner", "show", "job", job)
        fields = dict(item.split("=", 1) for item in text.split() if "=" in item)
        return _ending(fields.get("JobState", "unknown"), fields.get("ExitCode", ""))
    except (CommandError, SlurmUnavailableError):
        pass
    try:
        text = run("sacct", "-XnP", "-j", job, "--format=State,ExitCode")
    except (CommandError, SlurmUnavailableError):
        return "unknown"
    state, _, code = text.strip().partition("|")
    return _ending(state.split()[0] if state else "unknown", code)


def _ending(state: str, code: str) -> str:
    words = {
        "CANCELLED": "the job was cancelled",
        "COMPLETED": "the job ended by itself",
        "FAILED": f"the job failed (exit code {code})",
        "NODE_FAIL": "its node failed",
        "OUT_OF_MEMORY": "it used more memory than its job had",
        "PREEMPTED": "a job of higher priority took its place",
        "TIMEOUT": "it reached the time limit of its job",
        "unknown": "for an unknown reason",
    }
    # SLURM without control groups kills by signal 9 what uses too much memory, and calls it failed.
    if state == "FAILED" and code.endswith(":9"):
        return f"the job was killed by signal 9, as it is when it uses too much memory ({state})"
    return f"{words.get(state, 'state')} ({state})"


_REASONS = {
    "AssocGrpCpuLimit": "your account has all the cores it may have",
    "AssocGrpMemLimit": "your account has all the memory it may have",
    "AssocMaxJobsLimit": "your account has as many jobs as it may have",
    "BeginTime": "it may start only later",
    "InvalidAccount": "the account is not valid here",
    "InvalidQOS": "the QoS is not valid here",
    "JobHeldAdmin": "an administrator holds it back",
    "JobHeldUser": "it is held back (scontrol release)",
    "Licenses": "a licence is in use",
    "NodeDown": "a node that it needs is down",
    "None": "SLURM has not looked at it yet",
    "PartitionDown": "the partition is down",
    "PartitionInactive": "the partition takes no jobs at present",
    "PartitionNodeLimit": "it asks for more nodes than the partition has",
    "PartitionTimeLimit": "it asks for more time than the partition gives",
    "Priority": "other jobs come first",
    "QOSGrpCpuLimit": "all cores of this QoS are in use",
    "QOSGrpMemLimit": "all memory of this QoS is in use",
    "QOSMaxCpuPerUserLimit": "you have all the cores that one user may have here",
    "QOSMaxJobsPerUserLimit": "you have as many jobs as one user may have here",
    "QOSMaxMemoryPerUser": "you have all the memory that one user may have here",
    "ReqNodeNotAvail": "a node that it needs is not available (maintenance?)",
    "Reservation": "it waits for its reservation",
    "Resources": "no node has enough free cores and memory at present",
}

# Nothing that happens by itself will start a job with one of these.
HOPELESS = frozenset(
    {
        "AccountNotAllowed",
        "BadConstraints",
        "InvalidAccount",
        "InvalidQOS",
        "JobHeldAdmin",
        "JobHeldUser",
        "PartitionNodeLimit",
        "PartitionTimeLimit",
        "QOSMaxCpuPerJobLimit",
        "QOSMaxMemoryPerJob",
        "QOSMaxMemoryPerJobLimit",
        "QOSNotAllowed",
    }
)


def explain(reason: str, limits: Limits | None = None) -> str:
    """Put the reason of a pending job into words.

    Parameters
    ----------
    reason : str
        SLURM's word, as from `squeue`.
    limits : Limits, optional
        Those that hold for the job, to name the number that was passed.

    Returns
    -------
    str
        The word itself, then what it means.
    """
    limits = limits or Limits()
    word = reason.split(",")[0].strip("() ")
    if word.startswith("QOSMaxMemoryPerJob") and limits.memory:
        meaning = f"a job may have at most {format_memory(limits.memory)} here"
    elif word.startswith("QOSMaxCpuPerJob") and limits.cpus:
        meaning = f"a job may have at most {limits.cpus} cores here"
    else:
        meaning = _REASONS.get(word) or _split_words(word)
    return f"{word}: {meaning}"


def _split_words(word: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", word).lower() or "no reason given"
