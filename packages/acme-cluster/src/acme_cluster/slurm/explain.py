"""Explanations of why a job waits and how it ended, in words that a user can act on."""

from __future__ import annotations

import re

from acme_cluster.sizes import format_memory
from acme_cluster.slurm.parse import Limits

__all__ = ["HOPELESS", "ending", "explain"]

# The common reasons of pending jobs (JOB REASON CODES in squeue(1)); others are split into words.
_REASONS = {
    "AssocGrpCpuLimit": "your account has all the cores it may have",
    "AssocGrpGRES": "your account has all the GPUs it may have",
    "AssocGrpMemLimit": "your account has all the memory it may have",
    "AssocMaxJobsLimit": "your account has as many jobs as it may have",
    # Also a requeued job: SLURM holds it back for two minutes.
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
    "QOSGrpGRES": "all GPUs of this QoS are in use",
    "QOSGrpMemLimit": "all memory of this QoS is in use",
    "QOSMaxCpuPerUserLimit": "you have all the cores that one user may have here",
    "QOSMaxGRESPerJob": "a job may not have as many GPUs here",
    "QOSMaxGRESPerUser": "you have all the GPUs that one user may have here",
    "QOSMaxJobsPerUserLimit": "you have as many jobs as one user may have here",
    "QOSMaxMemoryPerUser": "you have all the memory that one user may have here",
    # In squeue with a list of nodes behind a comma; a node may be reserved for maintenance.
    "ReqNodeNotAvail": "a node that it needs is not available (maintenance?)",
    "Reservation": "it waits for its reservation",
    "Resources": "no node has enough free cores, memory and GPUs at present",
}

# With one of these reasons a job starts only after somebody changes the job or the cluster. sbatch
# accepts such jobs silently, unless slurm.conf sets `EnforcePartLimits` or the QoS `DenyOnLimit`.
# Limits per user or group are not here: they pass when other jobs end.
HOPELESS = frozenset(
    {
        "AccountNotAllowed",
        "AssocMaxGRESPerJob",
        "BadConstraints",
        "InvalidAccount",
        "InvalidQOS",
        "JobHeldAdmin",
        "JobHeldUser",
        "PartitionNodeLimit",
        "PartitionTimeLimit",
        "QOSMaxCpuPerJobLimit",
        "QOSMaxGRESPerJob",
        "QOSMaxMemoryPerJob",
        "QOSMaxMemoryPerJobLimit",
        "QOSNotAllowed",
    }
)


def explain(reason: str, limits: Limits | None = None) -> str:
    """Explain why a job is pending.

    Parameters
    ----------
    reason : str
        Reason code, as from `squeue`.
    limits : Limits, optional
        Limits of the job, to name the one that it exceeds.

    Returns
    -------
    str
        The reason code, a colon, and its meaning.
    """
    limits = limits or Limits()
    word = reason.split(",")[0].strip("() ")
    # Versions of SLURM differ in the ending: `QOSMaxMemoryPerJob` and `QOSMaxMemoryPerJobLimit`.
    if word.startswith("QOSMaxMemoryPerJob") and limits.memory:
        meaning = f"a job may have at most {format_memory(limits.memory)} here"
    elif word.startswith("QOSMaxCpuPerJob") and limits.cpus:
        meaning = f"a job may have at most {limits.cpus} cores here"
    else:
        meaning = _REASONS.get(word) or _split_words(word)
    return f"{word}: {meaning}"


def _split_words(word: str) -> str:
    # "SomethingQuiteNew" becomes "something quite new".
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", word).lower() or "no reason given"


def ending(state: str, code: str) -> str:
    """Explain how a job ended.

    Parameters
    ----------
    state : str
        Job state code, such as "TIMEOUT", or "unknown".
    code : str
        Exit code and signal, such as "0:9".

    Returns
    -------
    str
        The explanation, with the state code in parentheses.
    """
    words = {
        # In sacct "CANCELLED by UID"; callers pass the first word.
        "CANCELLED": "the job was cancelled",
        "COMPLETED": "the job ended by itself",
        "FAILED": f"the job failed (exit code {code})",
        "NODE_FAIL": "its node failed",
        "OUT_OF_MEMORY": "it used more memory than its job had",
        "PREEMPTED": "a job of higher priority took its place",
        "TIMEOUT": "it reached the time limit of its job",
        "unknown": "for an unknown reason",
    }
    # Without control groups SLURM polls the memory of jobs (`JobAcctGatherFrequency`) and kills
    # with signal 9; the state is then FAILED, with exit code "0:9", and not OUT_OF_MEMORY.
    if state == "FAILED" and code.endswith(":9"):
        return f"the job was killed by signal 9, as it is when it uses too much memory ({state})"
    return f"{words.get(state, 'state')} ({state})"
