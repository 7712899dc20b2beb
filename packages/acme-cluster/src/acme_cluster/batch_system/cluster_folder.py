"""The folder of one cluster of a batch system, on a file system that client and nodes share.

    ~/.acme/clusters/ID/        mode 0700
        keys.pem                certificate and key, mode 0600
        owner.json              host, pid and start time of the client
        alive                   heartbeat: the client touches it every 20 s
        workers/                one empty file for each running job
        logs/                   output of the jobs
        elsewhere               list of folders to remove together with this one
    ~/.acme/logs/ID/            logs/, kept if a worker was lost

The client removes it when the cluster ends. If the client was killed, the last job to end removes
it, or else the next cluster that this user starts.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import time
import uuid
from pathlib import Path

from acme_cluster.keys import KeyPair
from acme_cluster.lifetime.cleanup_registry import remove_noted

__all__ = ["HEARTBEAT", "ClusterFolder", "remove_abandoned", "shared_base"]

# Seconds between two heartbeats of the client, and their age after which a client on another host
# counts as dead. The second is generous: modification times come from the clock of a file server,
# NFS clients cache them for up to a minute, and a client may be suspended (Ctrl-Z) for a while.
HEARTBEAT = 20.0
_GONE_AFTER = 600.0

_END_OF_CERTIFICATE = "-----END CERTIFICATE-----\n"


def shared_base(configured: str | None = None) -> Path:
    """Return the folder that holds the folders of all clusters.

    Parameters
    ----------
    configured : str, optional
        The site's `shared_directory`; by default `acme.shared-directory` of dask's configuration,
        else `~/.acme`.

    Returns
    -------
    pathlib.Path
        An absolute path, which need not exist.
    """
    import dask

    path = configured or dask.config.get("acme.shared-directory", None) or "~/.acme"
    return Path(os.path.expandvars(path)).expanduser().absolute()


class ClusterFolder:
    """One cluster's folder.

    Parameters
    ----------
    path : pathlib.Path
        An existing folder; :meth:`create` makes a new one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, base: Path, keys: KeyPair) -> ClusterFolder:
        """Make a new folder that only this user can read, and store the keys in it.

        Parameters
        ----------
        base : pathlib.Path
            From :func:`shared_base`; created if missing.
        keys : KeyPair
            Keys of the new cluster.

        Returns
        -------
        ClusterFolder
            The new folder.

        Raises
        ------
        OSError
            The folder cannot be made.
        """
        parent = base / "clusters"
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The time for people, the random part for two clusters started in the same second.
        path = parent / f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:8]}"
        path.mkdir(mode=0o700)
        # `mkdir` applies the umask, and some network file systems (CIFS) a mode of their own.
        path.chmod(0o700)
        (path / "workers").mkdir(mode=0o700)
        # The start time as well: pids are reused.
        owner = {"host": socket.gethostname(), "pid": os.getpid(), "started": _started(os.getpid())}
        (path / "owner.json").write_text(json.dumps(owner))
        folder = cls(path)
        folder.beat()
        # The keys come last: if a step above fails, no key is left behind.
        _write_private(path / "keys.pem", keys.certificate + keys.key)
        return folder

    def keys(self) -> KeyPair:
        """Read the keys.

        Returns
        -------
        KeyPair
            The keys given to :meth:`create`.

        Raises
        ------
        OSError
            The folder was removed: the cluster has ended.
        """
        text = (self.path / "keys.pem").read_text()
        certificate, _, key = text.partition(_END_OF_CERTIFICATE)
        return KeyPair(certificate + _END_OF_CERTIFICATE, key)

    def beat(self) -> None:
        """Record that the client is alive."""
        # A file system that is full or away must not end the task that calls this.
        with contextlib.suppress(OSError):
            (self.path / "alive").touch()

    def abandoned(self) -> bool:
        """Return whether the client that made the folder is dead.

        Returns
        -------
        bool
            On the client's own host, whether its process is gone; on other hosts, whether its
            heartbeat is older than ten minutes.
        """
        try:
            owner = json.loads((self.path / "owner.json").read_text())
            if owner["host"] == socket.gethostname():
                return bool(_started(owner["pid"]) != owner["started"])
            return time.time() - (self.path / "alive").stat().st_mtime > _GONE_AFTER
        except (OSError, ValueError, KeyError):
            # Killed while it made the folder, or another process removes it right now.
            return _age(self.path) > _GONE_AFTER

    def enter(self, job: str) -> Path:
        """Record that a job runs.

        Parameters
        ----------
        job : str
            Id of the job.

        Returns
        -------
        pathlib.Path
            The job's marker file, for :meth:`leave`.
        """
        marker = self.path / "workers" / job
        marker.touch()
        return marker

    def leave(self, marker: Path, *, last_removes: bool) -> None:
        """Record that a job has ended.

        Parameters
        ----------
        marker : pathlib.Path
            From :meth:`enter`.
        last_removes : bool
            Remove the folder if this was the last job: for when the client is gone.
        """
        with contextlib.suppress(OSError):
            marker.unlink(missing_ok=True)
            if last_removes and not any(marker.parent.iterdir()):
                self.remove()

    def logs(self, configured: str | None) -> Path:
        """Make the folder for the output of the jobs.

        Parameters
        ----------
        configured : str or None
            Path set by the site or the user; None for `logs` in this folder.

        Returns
        -------
        pathlib.Path
            The folder, which exists.
        """
        if configured is None:
            path = self.path / "logs"
        else:
            path = Path(os.path.expandvars(configured)).expanduser()
        path.mkdir(parents=True, exist_ok=True)
        return path

    def keep(self, logs: Path) -> None:
        """Move the output of the jobs to where it outlives this folder.

        Parameters
        ----------
        logs : pathlib.Path
            From :meth:`logs`; a folder outside this one stays where it is.
        """
        if self.path not in logs.parents:
            return
        kept = self.path.parent.parent / "logs" / self.path.name
        with contextlib.suppress(OSError):
            kept.parent.mkdir(mode=0o700, exist_ok=True)
            logs.rename(kept)

    def remove(self) -> None:
        """Remove the folder and all it lists; do nothing if it no longer exists."""
        # The keys first: they are gone even if a later step fails.
        with contextlib.suppress(OSError):
            (self.path / "keys.pem").unlink(missing_ok=True)
        remove_noted(self.path)
        remove_tree(self.path)
        # The empty parents as well; `rmdir` fails while another cluster or kept logs are there.
        for parent in (self.path.parent, self.path.parent.parent):
            with contextlib.suppress(OSError):
                parent.rmdir()


def remove_tree(path: str | Path, patience: float = 3.0) -> None:
    """Remove a folder in which a process that is just ending may still create files.

    Parameters
    ----------
    path : str or pathlib.Path
        The folder; it need not exist.
    patience : float, default 3
        Seconds after which the rest is left in place.
    """
    deadline = time.monotonic() + patience
    while True:
        shutil.rmtree(path, ignore_errors=True)
        if not os.path.lexists(path) or time.monotonic() > deadline:
            return
        # One pass misses files created behind it, and NFS keeps an open file as `.nfsXXXX`.
        time.sleep(0.05)


def remove_abandoned(base: Path) -> None:
    """Remove the folders of killed clients, except those that jobs still use.

    Parameters
    ----------
    base : pathlib.Path
        From :func:`shared_base`.
    """
    for path in sorted((base / "clusters").glob("*")):
        folder = ClusterFolder(path)
        # A killed job leaves its marker behind, so markers do not count for ever: without a client
        # a worker ends within two minutes.
        if folder.abandoned() and (not _markers(path) or _age(path / "alive") > _GONE_AFTER):
            folder.remove()


def _markers(path: Path) -> list[Path]:
    try:
        return list((path / "workers").iterdir())
    except OSError:
        return []


def _age(path: Path) -> float:
    """Return the seconds since a change; 0.0 for a missing path, which another process removed."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


def _started(pid: int) -> float | None:
    """Return the start time of a process in seconds since the epoch, or None if it is gone."""
    import psutil

    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def _write_private(path: Path, text: str) -> None:
    # Created with its final mode: at no moment can others open it. O_EXCL refuses a file or link
    # that is already there.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
