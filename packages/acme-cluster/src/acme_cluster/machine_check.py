"""A check of this machine for everything that workers depend on, with advice for each finding.

>>> from acme_cluster.machine_check import examine
>>> for finding in examine():
...     print(finding)                                                    # doctest: +SKIP
ok       versions   Python 3.12.4, acme-cluster 0.1.0, dask 2026.8.0, distributed 2026.8.0 ...
note     SLURM      This machine has no SLURM: workers are started here.

Nothing is started or submitted, and no file is left. `acme doctor` prints these findings together
with those of `acme_io`, which have the same four fields. The two packages do not import each other:
they meet in `acme.cli`, whose `Finding` protocol states the fields.
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

# What a user quotes in a report of an error: this package and those that its behaviour depends on.
_PACKAGES = ("acme-cluster", "dask", "distributed", "dask-jobqueue", "cryptography", "bokeh")
# File systems that other nodes do not see, as /proc/mounts calls them. A list of network file
# systems (nfs4, lustre, gpfs, beegfs and many more) would never be complete.
_LOCAL_FILE_SYSTEMS = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "f2fs"}
)


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes
    ----------
    level : {"ok", "note", "problem"}
        Whether workers will run: yes, yes with a limitation, no.
    topic : str
        Subject of the check, one word.
    text : str
        The result.
    advice : str
        What to do about it; empty if there is nothing to do.
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
    """Check everything that starting workers depends on.

    Returns
    -------
    list of Finding
        In the order of the checks. A check that raises an exception becomes a finding as well.
    """
    checks: dict[str, Callable[[], Iterator[Finding]]] = {
        "versions": _versions,
        "workers": _workers,
        "SLURM": _slurm,
        "site": _site,
        "folder": _folder,
        "dashboard": _dashboard,
        "TLS": _tls,
    }
    found: list[Finding] = []
    for topic, check in checks.items():
        try:
            found += check()
        # Any exception: on a broken machine even an import may fail, and the other checks still
        # help.
        except Exception as error:
            found.append(Finding("problem", topic, f"The check failed: {error}"))
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
            "Reinstall acme-cluster with its dependencies.",
        )  # fmt: skip


def _workers() -> Iterator[Finding]:
    import dask

    from acme_cluster.internals import fork_server, probe

    if found := probe.findings():
        yield Finding(
            "note", "workers", f"They start about half a second later: {'; '.join(found)}.",
            "An older or newer distributed may fit better; results are the same.",
        )  # fmt: skip
    elif not dask.config.get(fork_server.SWITCH, True):
        text = f"They start about half a second later: `{fork_server.SWITCH}` is false."
        yield Finding("note", "workers", text)
    else:
        yield Finding("ok", "workers", "This version of distributed allows their quick start.")


def _slurm() -> Iterator[Finding]:
    from acme_cluster.slurm import query

    if not query.available():
        yield Finding("note", "SLURM", "This machine has no SLURM: workers are started here.")
        return
    if not query.usable():
        yield Finding(
            "problem", "SLURM", "Its commands are installed, but no controller is running.",
            "Check with `scontrol ping`; until it answers, workers are started here.",
        )  # fmt: skip
        return
    accounts = query.my_accounts()
    known = query.partitions().values()
    usable = [p.name for p in known if p.up and not p.hidden and p.open_to(accounts)]
    default = next((p.name for p in known if p.default), None)
    if not usable:
        yield Finding(
            "problem", "SLURM", "It has no partition that you can use.",
            "Ask its administrators for an account; `sacctmgr show assoc user=$USER` lists yours.",
        )  # fmt: skip
        return
    yield Finding("ok", "SLURM", f"Partitions that you can use: {', '.join(usable)}.")
    if default not in usable:
        yield Finding(
            "note", "SLURM", "It has no default partition that you can use.",
            "Pass partition=..., or set default_partition in the description of your site.",
        )  # fmt: skip
    if not query.qos_limits():
        yield Finding(
            "note", "SLURM", "It does not report its limits (no accounting).",
            "Pass mem_per_worker within the limits: it cannot be cut to them.",
        )  # fmt: skip


def _site() -> Iterator[Finding]:
    from acme_cluster.sites.catalog import detect_site

    site = detect_site()
    if site is None:
        yield Finding("ok", "site", f"{socket.gethostname()} belongs to no known site.")
    else:
        yield Finding("ok", "site", f"{site.name}: {site.description or 'no description'}")


def _folder() -> Iterator[Finding]:
    from acme_cluster.batch_system.cluster_folder import shared_base
    from acme_cluster.sites.catalog import detect_site
    from acme_cluster.slurm import query

    site = detect_site()
    base = shared_base(site.path(site.shared_directory) if site else None)
    setting = "Set `acme.shared-directory` in dask's configuration to a folder"
    # The folder itself is made only when a cluster starts: its nearest existing parent decides.
    existing = next(folder for folder in (base, *base.parents) if folder.exists())
    # Only a write tells: permission bits know nothing of read-only mounts, quotas and ACLs.
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
    if query.usable() and kind in _LOCAL_FILE_SYSTEMS:
        yield Finding(
            "note", "folder", f"{base} is on a local file system ({kind}).",
            f"{setting} that all nodes share, unless this one is exported to them.",
        )  # fmt: skip
    else:
        yield Finding("ok", "folder", f"Keys of clusters are written below {base}.")


def _file_system(path: Path) -> str:
    """Return the type of the file system that holds a path, by its longest mount point."""
    kinds = {}
    for line in Path("/proc/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        # Mounts are listed in their order; a later one hides an earlier one at the same place.
        kinds[Path(where.replace("\\040", " "))] = kind
    return next(kinds[folder] for folder in (path, *path.parents) if folder in kinds)


def _dashboard() -> Iterator[Finding]:
    import dask

    from acme_cluster.lifetime.dashboard import how_to_reach

    if not dask.config.get("acme.dashboard", True):
        yield Finding("note", "dashboard", "It is turned off by `acme.dashboard: false`.")
        return
    # Without it the dashboard's first page would fail; the exception becomes a finding.
    import bokeh

    yield Finding("ok", "dashboard", f"It is served on 127.0.0.1 (bokeh {bokeh.__version__}).")
    # The port that the next cluster tries first; for 0, which means any, the usual one as an
    # example.
    first = int(dask.config.get("acme.dashboard-port", 8787)) or 8787
    hint = how_to_reach(f"http://127.0.0.1:{first}/status", "dashboard")
    if hint is not None:
        yield Finding("note", "dashboard", "This is not your own machine.", hint.split("INFO: ")[1])


def _tls() -> Iterator[Finding]:
    import dask

    from acme_cluster.internals.tls import cluster_security
    from acme_cluster.keys import make_keys

    # Makes keys and loads them as a client does, which fails if OpenSSL refuses one of the
    # settings.
    security = cluster_security(make_keys())
    security.get_connection_args("client")  # type: ignore[no-untyped-call]
    if os.name == "posix" and not dask.config.get("acme.local.tls", True):
        yield Finding(
            "note", "TLS", "It is turned off for local workers (`acme.local.tls: false`).",
            "While they run, every user of this machine can run code in your name.",
        )  # fmt: skip
    else:
        yield Finding("ok", "TLS", "Keys can be made and used.")
