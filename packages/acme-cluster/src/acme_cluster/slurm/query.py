"""Asking SLURM: partitions, limits, jobs. Everything that runs a command of SLURM's is here.

What the commands print is read in `slurm_text`, what it means is said in `slurm_words`.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from acme_cluster.errors import CommandError, SlurmUnavailableError
from acme_cluster.slurm.explain import ending
from acme_cluster.slurm.parse import (
    JobState,
    Limits,
    Partition,
    parse_jobs,
    parse_partitions,
    parse_qos,
)

__all__ = [
    "answering",
    "available",
    "clean_environment",
    "end_of_job",
    "job_states",
    "my_accounts",
    "partitions",
    "qos_limits",
    "run",
    "usable",
]

# A controller that is busy answers within seconds; one that is down makes squeue wait for nine.
_TIMEOUT = 30.0


def available() -> bool:
    """Tell whether this machine has SLURM's commands.

    Returns
    -------
    bool
        True if jobs can be submitted and cancelled from here.
    """
    return all(shutil.which(name) for name in ("sbatch", "scancel", "squeue", "scontrol"))


class _Controller(NamedTuple):
    """What `scontrol ping` told."""

    answers: bool
    output: str


# Seconds for which an answer holds: one start of workers asks several times, from several places.
_PING_HOLDS = 60.0
_pings: dict[tuple[str | None, str | None], tuple[float, _Controller]] = {}


def _ping() -> _Controller:
    """Ask once a minute at most whether the controller is up."""
    where = shutil.which("scontrol"), os.environ.get("SLURM_CONF")
    asked, controller = _pings.get(where, (-math.inf, _Controller(False, "")))
    if time.monotonic() - asked > _PING_HOLDS:
        try:
            controller = _Controller(True, run("scontrol", "ping"))
        except CommandError as error:
            # One of several controllers is enough.
            output = error.output.lower()
            controller = _Controller(bool(re.search(r"\bis up\b", output)), output)
        _pings[where] = time.monotonic(), controller
    return controller


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
    answers, output = _ping()
    if answers:
        return True
    if any(words in output for words in ("configuration source", "configuration file")):
        return False
    down = set(re.findall(r"\bat (\S+) is down", output))
    return not down or bool(down - {socket.gethostname().split(".")[0].lower()})


def answering() -> bool:
    """Tell whether this machine has SLURM's commands and a controller answers them.

    Returns
    -------
    bool
        From an answer that is a minute old at most.
    """
    return available() and _ping().answers


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


_CONTROLLER = (
    "SLURM's commands are installed on this machine, but its controller does not seem to answer. "
    "Look with `scontrol ping`, and try again later, or start workers here: local_cluster_setup()."
)


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
    # The first question of every start: where it fails, the controller is away as a rule.
    command = ("scontrol", "--all", "--oneliner", "show", "partition")
    return parse_partitions(run(*command, advice=_CONTROLLER))


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
        return ending(fields.get("JobState", "unknown"), fields.get("ExitCode", ""))
    except (CommandError, SlurmUnavailableError):
        pass
    try:
        text = run("sacct", "-XnP", "-j", job, "--format=State,ExitCode")
    except (CommandError, SlurmUnavailableError):
        return "unknown"
    state, _, code = text.strip().partition("|")
    return ending(state.split()[0] if state else "unknown", code)
