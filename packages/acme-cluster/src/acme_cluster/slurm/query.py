"""Questions to SLURM about partitions, limits and jobs.

Each function runs one of SLURM's commands in an environment without the variables of a surrounding
job. `slurm.parse` reads the output, `slurm.explain` explains it. Submitting jobs is in
`batch_system.submission`.
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
    NodeGroup,
    Partition,
    parse_jobs,
    parse_node_groups,
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
    "node_groups",
    "partitions",
    "qos_limits",
    "run",
    "usable",
]

# Seconds. A busy controller answers within a few; squeue and sbatch give up after nine if it is
# down.
_TIMEOUT = 30.0


def available() -> bool:
    """Return whether this machine has SLURM's commands.

    Returns
    -------
    bool
        True if the commands to submit, cancel and list jobs are on the path.
    """
    return all(shutil.which(name) for name in ("sbatch", "scancel", "squeue", "scontrol"))


class _Controller(NamedTuple):
    """The outcome of `scontrol ping`."""

    answers: bool
    output: str


# Seconds for which an answer holds: several steps of one start ask, and a controller that hangs
# would be waited for each time. (`scontrol ping` itself takes 3 ms.)
_PING_HOLDS = 60.0
# By what decides the answer: the command found on PATH, and the configuration file.
_pings: dict[tuple[str | None, str | None], tuple[float, _Controller]] = {}


def _ping() -> _Controller:
    """Ask at most once a minute whether the controller is up."""
    where = shutil.which("scontrol"), os.environ.get("SLURM_CONF")
    asked, controller = _pings.get(where, (-math.inf, _Controller(False, "")))
    if time.monotonic() - asked > _PING_HOLDS:
        try:
            controller = _Controller(True, run("scontrol", "ping"))
        except CommandError as error:
            # `scontrol ping` fails if one of several controllers is down; one that is up is enough.
            output = error.output.lower()
            controller = _Controller(bool(re.search(r"\bis up\b", output)), output)
        _pings[where] = time.monotonic(), controller
    return controller


def usable() -> bool:
    """Return whether this machine belongs to a SLURM cluster.

    Returns
    -------
    bool
        False without SLURM's commands, without a configuration of a cluster, and if the controller
        should run on this very machine and does not. True if a controller elsewhere does not answer
        at present, because the machine still belongs to its cluster.
    """
    if not available():
        return False
    answers, output = _ping()
    if answers:
        return True
    # "Could not establish a configuration source": the commands are installed, but not configured.
    if any(words in output for words in ("configuration source", "configuration file")):
        return False
    # "Slurmctld(primary) at HOST is DOWN", in lower case by now.
    down = set(re.findall(r"\bat (\S+) is down", output))
    return not down or bool(down - {socket.gethostname().split(".")[0].lower()})


def answering() -> bool:
    """Return whether this machine has SLURM's commands and a controller answers.

    Returns
    -------
    bool
        The answer is at most a minute old.
    """
    return available() and _ping().answers


def clean_environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment without the variables of a surrounding job.

    Parameters
    ----------
    environ : mapping, optional
        An environment; by default that of this process.

    Returns
    -------
    dict of str to str
        The other variables, and `SLURM_CONF`, which names SLURM's configuration file.
    """
    # SLURM's commands read options from such variables: in a job, `SLURM_MEM_PER_CPU` contradicts
    # the `--mem` of a new one, and `SBATCH_PARTITION` beats the `-p` in its script.
    prefixes = ("SBATCH_", "SLURM_", "SALLOC_", "SRUN_", "SLURMD_", "SQUEUE_", "SACCT_", "SINFO_")
    return {k: v for k, v in environ.items() if k == "SLURM_CONF" or not k.startswith(prefixes)}


def run(*command: str, timeout: float = _TIMEOUT, advice: str = "") -> str:
    """Run a SLURM command.

    Parameters
    ----------
    *command : str
        Program and arguments.
    timeout : float, default 30
        Seconds after which the command is killed.
    advice : str, optional
        What to do if it fails, for the error message.

    Returns
    -------
    str
        Standard output.

    Raises
    ------
    CommandError
        The command failed or did not answer; with command, exit code and output.
    SlurmUnavailableError
        The program is not installed.
    """
    # LC_ALL: the parsers read English.
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
    "SLURM's commands are installed on this machine, but its controller does not answer. Check it "
    "with `scontrol ping` and try again later, or start workers here with local_cluster_setup()."
)


def partitions() -> dict[str, Partition]:
    """Return SLURM's partitions.

    Returns
    -------
    dict of str to Partition
        All partitions by name, including those that are down, hidden or closed to this user.

    Raises
    ------
    CommandError
        `scontrol` failed.
    """
    # The first question of every start: where it fails, the controller is away as a rule.
    command = ("scontrol", "--all", "--oneliner", "show", "partition")
    return parse_partitions(run(*command, advice=_CONTROLLER))


def node_groups() -> dict[str, list[NodeGroup]]:
    """Return the nodes of each partition with their generic resources.

    Returns
    -------
    dict of str to list of NodeGroup
        By partition; nodes that are down count as well.

    Raises
    ------
    CommandError
        `sinfo` failed.
    """
    # `scontrol show partition` counts GPUs only where accounting tracks them
    # (AccountingStorageTRES).
    return parse_node_groups(run("sinfo", "--all", "--noheader", "--format=%R|%D|%G"))


def qos_limits() -> dict[str, Limits]:
    """Return the limits of each QoS.

    Returns
    -------
    dict of str to Limits
        By name, in lower case; empty if there is no accounting, or it does not answer. Requests are
        not cut then, and SLURM itself has the last word.
    """
    try:
        return parse_qos(run("sacctmgr", "--parsable2", "show", "qos"))
    except (CommandError, SlurmUnavailableError):
        return {}


def my_accounts() -> frozenset[str]:
    """Return this user's accounts.

    Returns
    -------
    frozenset of str
        In lower case; empty if there is no accounting, or it does not answer.
    """
    import getpass

    show = ("show", "assoc", f"user={getpass.getuser()}", "format=account")
    try:
        text = run("sacctmgr", "--parsable2", "--noheader", *show)
    except (CommandError, SlurmUnavailableError):
        return frozenset()
    return frozenset(line.strip("| ").lower() for line in text.splitlines() if line.strip("| "))


def job_states(jobs: Sequence[str]) -> dict[str, JobState]:
    """Return the states of jobs in the queue.

    Parameters
    ----------
    jobs : sequence of str
        Job ids.

    Returns
    -------
    dict of str to JobState
        By job id, without jobs that have left the queue.

    Raises
    ------
    CommandError
        `squeue` failed.
    """
    if not jobs:
        return {}
    # All jobs of the user, selected here: given the id of a job that it has forgotten, squeue
    # fails.
    wanted = set(jobs)
    text = run("squeue", "--all", "--noheader", "--me", "--format=%i|%T|%r")
    return {job: state for job, state in parse_jobs(text).items() if job in wanted}


def end_of_job(job: str) -> str:
    """Return how a job ended.

    Parameters
    ----------
    job : str
        Job id.

    Returns
    -------
    str
        An explanation for messages; "unknown" if neither the controller nor the accounting
        remembers the job.
    """
    # The controller first: it is up to date and needs no accounting, but forgets ended jobs after
    # `MinJobAge`, five minutes by default.
    try:
        text = run("scontrol", "--oneliner", "show", "job", job)
        fields = dict(item.split("=", 1) for item in text.split() if "=" in item)
        return ending(fields.get("JobState", "unknown"), fields.get("ExitCode", ""))
    except (CommandError, SlurmUnavailableError):
        pass
    try:
        # -X without steps, -n without header, -P with "|" between columns.
        text = run("sacct", "-XnP", "-j", job, "--format=State,ExitCode")
    except (CommandError, SlurmUnavailableError):
        return "unknown"
    state, _, code = text.strip().partition("|")
    return ending(state.split()[0] if state else "unknown", code)
