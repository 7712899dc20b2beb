"""A SLURM cluster of four small nodes on one machine, for the tests in this folder.

    apt-get install --no-install-recommends slurm-wlm slurmdbd munge mariadb-server
    python lab.py start [USER...]      # repeatable; also repairs what tests broke
    python lab.py status               # exit code 0 only if everything is up
    python lab.py stop [--forget]      # --forget also removes state, accounting and configuration

Controller, one node daemon per node (each with its own host name), accounting with a limit per
partition, and authentication are real; only the sizes of the nodes are made up. Needs root, but no
systemd. Arrows point from each daemon to the one it connects to:

    munged ◄─── all          mariadbd ◄── slurmdbd ◄── slurmctld ◄── slurmd × 4
"""

from __future__ import annotations

import argparse
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from labconf import DBD_CONF, GRES_CONF, PARTITIONS, SLURM_CONF

HOME = Path(os.environ.get("ACME_SLURM_LAB", "/var/lib/acme-slurm-lab"))
CONFIG = Path("/etc/slurm/slurm.conf")
CLUSTER = "acmelab"
GPU_NODES, CPU_NODES = ("lab1", "lab2"), ("lab3", "lab4")
NODES = (*GPU_NODES, *CPU_NODES)
SOCKET = HOME / "db" / "mysql.sock"
PROGRAMS = ("munged", "mariadbd", "mariadb-install-db", "slurmdbd", "slurmctld", "slurmd", "sbatch")


class LabError(RuntimeError):
    """The test cluster cannot be started; the message names the part and its log."""


def missing() -> list[str]:
    """Return the missing requirements: programs or root."""
    lacking = [program for program in PROGRAMS if shutil.which(program, path=_path()) is None]
    return lacking + (["root"] if os.geteuid() != 0 else [])


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def _environment() -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_"))}
    return {**clean, "PATH": _path(), "MYSQL_UNIX_PORT": str(SOCKET)}


def _daemon_environment() -> dict[str, str]:
    # Daemons outlive tests, so they must not inherit the environment of the test that starts them.
    return {
        "PATH": _path(),
        "HOME": "/root",
        "LANG": os.environ.get("LANG", "C.UTF-8"),
        "MYSQL_UNIX_PORT": str(SOCKET),
    }


def run(*command: str, check: bool = True, timeout: float = 30, text: str = "") -> str:
    """Run a command and return its output."""
    done = subprocess.run(
        command, env=_environment(), capture_output=True, text=True, timeout=timeout, input=text
    )
    if check and done.returncode != 0:
        raise LabError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout


def _answers(*command: str) -> bool:
    try:
        done = subprocess.run(command, env=_environment(), capture_output=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def wait_for(condition: Callable[[], object], what: str, seconds: float = 40) -> None:
    """Wait until a condition holds; raise `LabError` after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise LabError(f"{what}: not within {seconds:.0f} s. Logs are in {HOME / 'log'}")
        time.sleep(0.1)


# Keeps references to started daemons, which outlive this process: Popen warns when it is garbage
# collected while its process is running.
_running: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True)
class Daemon:
    """One daemon: its command, a check that it works, and its pid file."""

    name: str
    program: str
    command: Sequence[str]
    works: Callable[[], bool]
    forks: bool = True

    @property
    def pid_file(self) -> Path:
        return HOME / "run" / f"{self.name}.pid"

    def pid(self) -> int | None:
        """Return the process id if the daemon is running."""
        try:
            pid = int(self.pid_file.read_text())
            program = Path(f"/proc/{pid}/comm").read_text().strip()
        except (OSError, ValueError):
            return None
        # A reused pid belongs to another program. The kernel cuts names to 15 characters.
        return pid if program == self.program[:15] else None

    def start(self) -> None:
        """Start the daemon unless it is running, and wait until it works."""
        if self.pid() is None:
            log = (HOME / "log" / f"{self.name}.start").open("w")
            with log:
                process = subprocess.Popen(
                    self.command,
                    env=_daemon_environment(),
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            if self.forks:
                process.wait(30)
            else:
                self.pid_file.write_text(str(process.pid))
                _running.append(process)
        wait_for(self.works, self.name)

    def stop(self) -> None:
        """Stop the daemon with SIGTERM, and after 15 s with SIGKILL."""
        for number, patience in ((signal.SIGTERM, 15), (signal.SIGKILL, 5)):
            pid = self.pid()
            if pid is None:
                break
            os.kill(pid, number)
            end = time.monotonic() + patience
            while self.pid() is not None and time.monotonic() < end:
                _reap()
                time.sleep(0.05)
        self.pid_file.unlink(missing_ok=True)


def _reap() -> None:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return


def _node_command(node: str) -> list[str]:
    # Give each node its own host name in a UTS namespace, if the kernel permits.
    if _answers("unshare", "--uts", "true"):
        return ["unshare", "--uts", "sh", "-c", f"hostname {node} && exec slurmd -N {node}"]
    return ["slurmd", "-N", node]


def daemons() -> list[Daemon]:
    """Return all daemons in start order."""
    database = [
        "mariadbd", "--no-defaults", "--user=mysql", "--skip-networking",
        f"--datadir={HOME}/db/data", f"--socket={SOCKET}", f"--log-error={HOME}/log/mariadbd.log",
        "--innodb-buffer-pool-size=64M", "--innodb-lock-wait-timeout=900",
        "--innodb-flush-log-at-trx-commit=0",
    ]  # fmt: skip
    nodes = [
        Daemon(node, "slurmd", _node_command(node), lambda node=node: _pid_of_node(node))  # type: ignore[misc]
        for node in NODES
    ]
    return [
        Daemon(
            "mariadbd", "mariadbd", database,
            lambda: _answers("mariadb-admin", "--no-defaults", f"--socket={SOCKET}", "ping"),
            forks=False,
        ),
        Daemon(
            "slurmdbd",
            "slurmdbd",
            ["slurmdbd"],
            lambda: _answers("sacctmgr", "-n", "show", "cluster"),
        ),
        Daemon("slurmctld", "slurmctld", ["slurmctld"], lambda: _answers("scontrol", "ping")),
        *nodes,
    ]  # fmt: skip


def _pid_of_node(node: str) -> bool:
    return (HOME / "run" / f"{node}.pid").exists()


def _folders() -> None:
    for name, owner in (
        ("", "root"), ("db", "mysql"), ("run", "slurm"), ("log", "slurm"), ("controller", "slurm"),
        *((node, "root") for node in NODES),
    ):  # fmt: skip
        folder = HOME / name
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        shutil.chown(folder, owner)


def _configure() -> None:
    if CONFIG.exists() and f"ClusterName={CLUSTER}" not in CONFIG.read_text():
        raise LabError(f"{CONFIG} belongs to another cluster; remove it first if it is not needed")
    lines = []
    for name, memory, longest, more in PARTITIONS:
        qos = f"QOS={name.lower()}" if memory else ""
        lines.append(f"PartitionName={name} {qos} MaxTime={longest} DefaultTime=00:30:00 {more}")
    values = {
        "cluster": CLUSTER,
        "home": HOME,
        "host": socket.gethostname().split(".")[0],
        "nodes": ",".join(NODES),
        "gpu_nodes": ",".join(GPU_NODES),
        "cpu_nodes": ",".join(CPU_NODES),
        "gpu_ports": "18001-18002",
        "cpu_ports": "18003-18004",
    }
    values["partitions"] = "\n".join(lines).format(**values)
    CONFIG.parent.mkdir(exist_ok=True)
    CONFIG.write_text(SLURM_CONF.format(**values))
    CONFIG.with_name("gres.conf").write_text(GRES_CONF.format(**values))
    dbd = CONFIG.with_name("slurmdbd.conf")
    dbd.write_text(DBD_CONF.format(**values))
    dbd.chmod(0o600)
    shutil.chown(dbd, "slurm")


def _munge() -> None:
    if _answers("munge", "-n"):
        return
    Path("/run/munge").mkdir(exist_ok=True)
    shutil.chown("/run/munge", "munge")
    if not Path("/etc/munge/munge.key").exists():
        run("runuser", "-u", "munge", "--", "mungekey", "--create")
    run("runuser", "-u", "munge", "--", "munged", f"--pid-file={_munge_pid()}")
    wait_for(lambda: _answers("munge", "-n"), "munged")


def _munge_pid() -> Path:
    return Path("/run/munge/acme-lab.pid")


def _database() -> None:
    data = HOME / "db" / "data"
    if not data.exists():
        new = data.with_name("new")
        run(
            "mariadb-install-db", "--no-defaults", "--user=mysql", f"--datadir={new}",
            "--auth-root-authentication-method=socket", "--skip-test-db", timeout=120,
        )  # fmt: skip
        new.rename(data)


def _grant() -> None:
    statements = (
        "CREATE DATABASE IF NOT EXISTS slurm_acct_db;"
        "CREATE USER IF NOT EXISTS slurm@localhost IDENTIFIED VIA unix_socket;"
        "GRANT ALL ON slurm_acct_db.* TO slurm@localhost;"
    )
    run("mariadb", "--no-defaults", f"--socket={SOCKET}", text=statements)


def _accounts(users: Sequence[str]) -> None:
    def add(*what: str) -> None:
        run("sacctmgr", "-iQ", "add", *what)

    def known(*what: str) -> bool:
        return bool(run("sacctmgr", "-nP", "show", *what).strip())

    if not known("cluster", CLUSTER):
        add("cluster", CLUSTER)
    for name, memory, _, _ in PARTITIONS:
        if memory and not known("qos", f"name={name.lower()}"):
            add("qos", name.lower(), f"MaxTRESPerJob=mem={memory}G")
    for account in ("lab", "nobodys"):
        if not known("account", f"name={account}"):
            add("account", account, "Description=tests", "Organization=tests")
    for user in ("root", *users):
        pwd.getpwnam(user)
        if not known("assoc", f"user={user}", "account=lab"):
            add("user", user, "account=lab")


def node_states() -> dict[str, str]:
    """Return the state of each node as SLURM sees it."""
    lines = run("sinfo", "-a", "-hN", "-o", "%N %T", check=False).split("\n")
    return dict(line.split() for line in lines if line.strip())


def _nodes_ready() -> bool:
    states = node_states()
    for node, state in states.items():
        if state.startswith(("down", "drain")):
            run("scontrol", "update", f"nodename={node}", "state=resume", check=False)
    fine = {"idle", "mixed", "allocated", "completing"}
    return set(states) == set(NODES) and set(states.values()) <= fine


def start(users: Sequence[str] = ()) -> None:
    """Start missing daemons and repair what tests broke."""
    lacking = missing()
    if lacking:
        raise LabError(f"The test cluster needs: {', '.join(lacking)}")
    _folders()
    _configure()
    _munge()
    _database()
    database, accounting, *rest = daemons()
    database.start()
    _grant()
    accounting.start()
    _accounts(users)
    for daemon in rest:
        daemon.start()
    wait_for(_nodes_ready, "nodes")


def is_up() -> bool:
    """Return whether all daemons run and all nodes accept jobs."""
    return not missing() and all(daemon.pid() for daemon in daemons()) and _nodes_ready()


def stop(*, forget: bool = False) -> None:
    """Cancel all jobs, then stop all daemons."""
    controller = next(daemon for daemon in daemons() if daemon.name == "slurmctld")
    if controller.pid():
        run("scancel", "--user=root", check=False)
        for state in ("PENDING", "RUNNING", "SUSPENDED"):
            run("scancel", f"--state={state}", check=False)
        wait_for(lambda: not run("squeue", "-ah", check=False).strip(), "cancelled jobs", 30)
    for daemon in reversed(daemons()):
        daemon.stop()
    if _munge_pid().exists():
        os.kill(int(_munge_pid().read_text()), signal.SIGTERM)
        _munge_pid().unlink(missing_ok=True)
    if forget:
        shutil.rmtree(HOME, ignore_errors=True)
        for name in ("slurm.conf", "gres.conf", "slurmdbd.conf"):
            CONFIG.with_name(name).unlink(missing_ok=True)


def crash(node: str) -> None:
    """Simulate a power failure of a node: kill its daemon and all processes of its jobs."""
    daemon = next(daemon for daemon in daemons() if daemon.name == node)
    pid = daemon.pid()
    if pid is None:
        raise LabError(f"{node} is not running")
    space = os.readlink(f"/proc/{pid}/ns/uts")
    if space == os.readlink("/proc/self/ns/uts"):
        raise LabError(
            f"{node} has no UTS namespace of its own, so its processes cannot be identified"
        )
    os.kill(pid, signal.SIGKILL)
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(entry / "ns" / "uts") == space:
                os.kill(int(entry.name), signal.SIGKILL)
        except OSError:
            continue
    daemon.pid_file.unlink(missing_ok=True)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="A SLURM cluster on this machine, for tests.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("start").add_argument(
        "users", nargs="*", help="users besides root who may submit jobs"
    )
    commands.add_parser("stop").add_argument("--forget", action="store_true")
    commands.add_parser("status")
    commands.add_parser("crash").add_argument("node", choices=NODES)
    arguments = parser.parse_args()
    try:
        if arguments.command == "start":
            start(arguments.users)
        elif arguments.command == "stop":
            stop(forget=arguments.forget)
        elif arguments.command == "crash":
            crash(arguments.node)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    up = is_up()
    print("lab: up" if up else "lab: not up")
    return 0 if up == (arguments.command != "stop") else 1


if __name__ == "__main__":
    sys.exit(main())
