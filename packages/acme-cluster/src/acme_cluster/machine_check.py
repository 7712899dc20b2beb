"""What about this machine helps or hinders workers; each finding says what to do about it.

>>> from acme_cluster.machine_check import examine
>>> for finding in examine():
...     print(finding)                                                    # doctest: +SKIP
ok       versions   Python 3.12.4, acme-cluster 0.1.0, dask 2026.8.0, distributed 2026.8.0 ...
note     SLURM      This machine has no SLURM: workers are started here.

Nothing is started or submitted, and what is written to try a folder is removed.
"""

from __future__ import annotations

import os
import platform
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Finding", "examine"]

_PACKAGES = ("acme-cluster", "dask", "distributed", "dask-jobqueue", "cryptography", "bokeh")
# File systems that the nodes of a cluster do not see, as /proc/mounts calls them.
_LOCAL = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "f2fs"})


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    level : {"ok", "note", "problem"}
        Whether something has to be done.
    topic : str
        What was looked at.
    text : str
        What was found.
    advice : str
        What to do about it; empty if nothing.
    """

    level: str
    topic: str
    text: str
    advice: str = ""

    def __str__(self) -> str:
        """Return level, topic, text and advice on one line."""
        line = f"{self.level:8} {self.topic:10} {self.text}"
        return f"{line} {self.advice}".rstrip()


def examine() -> list[Finding]:
    """Look at everything that starting workers depends on.

    Returns
    -------
    list of Finding
        In the order of the looks. A look that fails is itself a finding.
    """
    looks: dict[str, Callable[[], Iterator[Finding]]] = {
        "versions": _versions,
        "SLURM": _slurm,
        "site": _site,
        "folder": _folder,
        "dashboard": _dashboard,
        "TLS": _tls,
    }
    found: list[Finding] = []
    for topic, look in looks.items():
        try:
            found += look()
        except Exception as error:
            found.append(Finding("problem", topic, f"Could not be looked at: {error}"))
    return found


def _versions() -> Iterator[Finding]:
    from importlib.metadata import PackageNotFoundError, version

    known = [f"Python {platform.python_version()}"]
    missing = []
    for name in _PACKAGES:
        try:
            known.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    yield Finding("ok", "versions", ", ".join(known))
    if missing:
        yield Finding(
            "problem", "versions", f"Not installed: {', '.join(missing)}.",
            "Install acme-cluster again, with its dependencies.",
        )  # fmt: skip


def _slurm() -> Iterator[Finding]:
    from acme_cluster.slurm import query

    if not query.available():
        yield Finding("note", "SLURM", "This machine has no SLURM: workers are started here.")
        return
    if not query.usable():
        yield Finding(
            "problem", "SLURM", "Its commands are installed, and belong to no cluster that runs.",
            "Look with `scontrol ping`; until it answers, workers are started here.",
        )  # fmt: skip
        return
    accounts = query.my_accounts()
    known = query.partitions().values()
    usable = [p.name for p in known if p.up and not p.hidden and p.open_to(accounts)]
    default = next((p.name for p in known if p.default), None)
    if not usable:
        yield Finding(
            "problem", "SLURM", "There is no partition that you can use.",
            "Ask its administrators for an account: `sacctmgr show assoc user=$USER` lists yours.",
        )  # fmt: skip
        return
    yield Finding("ok", "SLURM", f"Partitions that you can use: {', '.join(usable)}.")
    if default not in usable:
        yield Finding(
            "note", "SLURM", "No partition is the default that you can use.",
            "Name one: partition=..., or default_partition in the description of your site.",
        )  # fmt: skip
    if not query.qos_limits():
        yield Finding(
            "note", "SLURM", "It does not tell its limits (no accounting).",
            "Give mem_per_worker: requests cannot be cut to what is allowed.",
        )  # fmt: skip


def _site() -> Iterator[Finding]:
    from acme_cluster.sites.catalog import detect_site

    site = detect_site()
    if site is None:
        yield Finding("ok", "site", f"{socket.gethostname()} belongs to no described site.")
    else:
        yield Finding("ok", "site", f"{site.name}: {site.description or 'no description'}")


def _folder() -> Iterator[Finding]:
    from acme_cluster.batch_system.cluster_folder import shared_base
    from acme_cluster.sites.catalog import detect_site
    from acme_cluster.slurm import query

    site = detect_site()
    base = shared_base(site.path(site.shared_directory) if site else None)
    setting = "Set `acme.shared-directory` in dask's configuration to a folder"
    existing = next(folder for folder in (base, *base.parents) if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        yield Finding(
            "problem", "folder", f"Keys of clusters cannot be written below {base} ({error}).",
            f"{setting} where you may write.",
        )  # fmt: skip
        return
    kind = _file_system(existing)
    if query.usable() and kind in _LOCAL:
        yield Finding(
            "note", "folder", f"{base} is on a local file system ({kind}).",
            f"Unless the nodes see it all the same: {setting} that they share.",
        )  # fmt: skip
    else:
        yield Finding("ok", "folder", f"Keys of clusters are written below {base}.")


def _file_system(path: Path) -> str:
    kinds = {}
    for line in Path("/proc/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        kinds[Path(where.replace("\\040", " "))] = kind
    return next(kinds[folder] for folder in (path, *path.parents) if folder in kinds)


def _dashboard() -> Iterator[Finding]:
    import dask

    from acme_cluster.lifetime.dashboard import how_to_reach

    if not dask.config.get("acme.dashboard", True):
        yield Finding("note", "dashboard", "It is switched off by `acme.dashboard: false`.")
        return
    import bokeh

    yield Finding("ok", "dashboard", f"It is served on 127.0.0.1 (bokeh {bokeh.__version__}).")
    first = int(dask.config.get("acme.dashboard-port", 8787)) or 8787
    hint = how_to_reach(f"http://127.0.0.1:{first}/status", "dashboard")
    if hint is not None:
        yield Finding("note", "dashboard", "This is not your own machine.", hint.split("INFO: ")[1])


def _tls() -> Iterator[Finding]:
    import dask

    from acme_cluster.internals.tls import cluster_security
    from acme_cluster.keys import make_keys

    security = cluster_security(make_keys())
    security.get_connection_args("client")  # type: ignore[no-untyped-call]
    if os.name == "posix" and not dask.config.get("acme.local.tls", True):
        yield Finding(
            "note", "TLS", "Local workers go without it (`acme.local.tls: false`).",
            "Everybody with an account on this machine can run code as you while they are up.",
        )  # fmt: skip
    else:
        yield Finding("ok", "TLS", "Keys can be made and used.")
