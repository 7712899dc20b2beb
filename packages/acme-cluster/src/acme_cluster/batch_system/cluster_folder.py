"""The folder of one cluster of a batch system, on a file system that client and nodes share.

    ~/.acme/clusters/ID/        mode 0700
        keys.pem                certificate and key, mode 0600
        owner.json              which process made it
        alive                   touched by that process every few seconds
        workers/                one empty file for each job that runs
        logs/                   what the jobs print
        elsewhere               further folders that go with this one
    ~/.acme/logs/ID/            the same, kept if a worker was lost

It is removed by the client when the cluster ends; after the client was killed by the last job that
ends, or at this user's next start of a cluster.
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

# Seconds between two signs of life of the client, and after which it counts as gone where its
# process cannot be looked for. The second is generous: clocks of file servers and nodes differ.
HEARTBEAT = 20.0
_GONE_AFTER = 600.0

_END_OF_CERTIFICATE = "-----END CERTIFICATE-----\n"


def shared_base(configured: str | None = None) -> Path:
    """Return the folder below which clusters keep theirs.

    Parameters
    ----------
    configured : str, optional
        From a site; otherwise the dask configuration `acme.shared-directory`, otherwise `~/.acme`.

    Returns
    -------
    pathlib.Path
        Absolute; it need not exist.
    """
    import dask

    path = configured or dask.config.get("acme.shared-directory", None) or "~/.acme"
    return Path(os.path.expandvars(path)).expanduser().absolute()


class ClusterFolder:
    """One cluster's folder.

    Parameters
    ----------
    path : pathlib.Path
        An existing one; new ones come from :meth:`create`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, base: Path, keys: KeyPair) -> ClusterFolder:
        """Make a new folder, readable by this user only, and put the keys into it.

        Parameters
        ----------
        base : pathlib.Path
            From :func:`shared_base`; made if it is missing.
        keys : KeyPair
            Of the new cluster.

        Returns
        -------
        ClusterFolder
            The new folder.

        Raises
        ------
        OSError
            It cannot be made.
        """
        parent = base / "clusters"
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = parent / f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:8]}"
        path.mkdir(mode=0o700)
        # The umask can only take rights away; this holds whatever a file system's defaults are.
        path.chmod(0o700)
        (path / "workers").mkdir(mode=0o700)
        owner = {"host": socket.gethostname(), "pid": os.getpid(), "started": _started(os.getpid())}
        (path / "owner.json").write_text(json.dumps(owner))
        folder = cls(path)
        folder.beat()
        _write_private(path / "keys.pem", keys.certificate + keys.key)
        return folder

    def keys(self) -> KeyPair:
        """Read the keys.

        Returns
        -------
        KeyPair
            As given to :meth:`create`.

        Raises
        ------
        OSError
            The folder has been removed: the cluster has ended.
        """
        text = (self.path / "keys.pem").read_text()
        certificate, _, key = text.partition(_END_OF_CERTIFICATE)
        return KeyPair(certificate + _END_OF_CERTIFICATE, key)

    def beat(self) -> None:
        """Give a sign of life of the client."""
        with contextlib.suppress(OSError):
            (self.path / "alive").touch()

    def abandoned(self) -> bool:
        """Tell whether the client that made the folder has gone.

        Returns
        -------
        bool
            On the client's own host its process decides, elsewhere the age of its last sign of
            life.
        """
        try:
            owner = json.loads((self.path / "owner.json").read_text())
            if owner["host"] == socket.gethostname():
                return bool(_started(owner["pid"]) != owner["started"])
            return time.time() - (self.path / "alive").stat().st_mtime > _GONE_AFTER
        except (OSError, ValueError, KeyError):
            return _age(self.path) > _GONE_AFTER

    def enter(self, job: str) -> Path:
        """Note that a job runs.

        Parameters
        ----------
        job : str
            Its id.

        Returns
        -------
        pathlib.Path
            A file, for :meth:`leave`.
        """
        marker = self.path / "workers" / job
        marker.touch()
        return marker

    def leave(self, marker: Path, *, last_removes: bool) -> None:
        """Note that a job has ended.

        Parameters
        ----------
        marker : pathlib.Path
            From :meth:`enter`.
        last_removes : bool
            Whether the client has gone, so that the last job removes the folder.
        """
        with contextlib.suppress(OSError):
            marker.unlink(missing_ok=True)
            if last_removes and not any(marker.parent.iterdir()):
                self.remove()

    def logs(self, configured: str | None) -> Path:
        """Make the folder for what the jobs print.

        Parameters
        ----------
        configured : str or None
            Where the user wants it; by default it is in this folder.

        Returns
        -------
        pathlib.Path
            An existing folder.
        """
        if configured is None:
            path = self.path / "logs"
        else:
            path = Path(os.path.expandvars(configured)).expanduser()
        path.mkdir(parents=True, exist_ok=True)
        return path

    def keep(self, logs: Path) -> None:
        """Save what the jobs printed from being removed.

        Parameters
        ----------
        logs : pathlib.Path
            A folder; one outside this folder stays where it is.
        """
        if self.path not in logs.parents:
            return
        kept = self.path.parent.parent / "logs" / self.path.name
        with contextlib.suppress(OSError):
            kept.parent.mkdir(mode=0o700, exist_ok=True)
            logs.rename(kept)

    def remove(self) -> None:
        """Remove the folder with the keys; one that is gone already is fine."""
        # The keys first: should the rest fail, they are not there to be found.
        with contextlib.suppress(OSError):
            (self.path / "keys.pem").unlink(missing_ok=True)
        remove_noted(self.path)
        remove_tree(self.path)
        for parent in (self.path.parent, self.path.parent.parent):
            with contextlib.suppress(OSError):
                parent.rmdir()


def remove_tree(path: str | Path, patience: float = 3.0) -> None:
    """Remove a folder in which somebody who ends just now may still make files.

    Parameters
    ----------
    path : str or pathlib.Path
        The folder; one that is gone already is fine.
    patience : float, default 3
        Seconds after which what cannot be removed is left.
    """
    deadline = time.monotonic() + patience
    while True:
        shutil.rmtree(path, ignore_errors=True)
        if not os.path.lexists(path) or time.monotonic() > deadline:
            return
        time.sleep(0.05)


def remove_abandoned(base: Path) -> None:
    """Remove what clients that were killed have left, unless jobs still use it.

    Parameters
    ----------
    base : pathlib.Path
        From :func:`shared_base`.
    """
    for path in sorted((base / "clusters").glob("*")):
        folder = ClusterFolder(path)
        # A job that was killed leaves its marker; none outlives its client by that long.
        if folder.abandoned() and (not _markers(path) or _age(path / "alive") > _GONE_AFTER):
            folder.remove()


def _markers(path: Path) -> list[Path]:
    try:
        return list((path / "workers").iterdir())
    except OSError:
        return []


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


def _started(pid: int) -> float | None:
    import psutil

    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def _write_private(path: Path, text: str) -> None:
    # Made with its final mode: there is no moment in which others could open it.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
