"""GPUs of jobs: how SLURM is asked for them, and whether a partition has them.

SLURM counts GPUs as a generic resource (gres), usually called "gpu". It gives them out by node, and
accepts jobs that would wait for ever, for example behind others of the same cluster.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from acme_cluster.devices import counted
from acme_cluster.errors import ArgumentValueError
from acme_cluster.sites.catalog import Site, changed
from acme_cluster.slurm import parse

__all__ = ["Found", "requesting"]

# Options of sbatch that ask for GPUs. Two of them add up or contradict each other.
_OTHER_REQUESTS = re.compile(r"--gres[= ]|--gpus(-per-\w+)?[= ]|-G")


def requesting(caller: str, site: Site, extra: Sequence[str], count: int) -> Site:
    """Return a site whose jobs ask for GPUs.

    Parameters
    ----------
    caller : str
        Name of the public function that was called.
    site : Site
        The site.
    extra : sequence of str
        The user's own options of the job script.
    count : int
        GPUs of one job.

    Returns
    -------
    Site
        The site with another `gres`. Its other resources, and the type of its GPUs, are kept.

    Raises
    ------
    ValueError
        The batch system is not SLURM, or one of the options asks for GPUs as well.
    """
    if site.system != "slurm":
        raise ArgumentValueError(
            f"<{caller}> `gpus_per_worker` is for SLURM: how {site.system.upper()} is asked for "
            "GPUs differs from site to site. Leave it out, and put your site's option into "
            "`job_extra`."
        )
    for option in (*site.job_extra, *extra):
        if _OTHER_REQUESTS.match(option):
            raise ArgumentValueError(
                f"<{caller}> `gpus_per_worker` and the option {option!r} in `job_extra` contradict "
                "each other. Leave one of them out; other generic resources go into `gres`."
            )
    # One option: of two `--gres` sbatch takes the last.
    name, _, kind = site.gpu_gres.partition(":")
    others = []
    for entry in (site.gres or "").split(","):
        parts = entry.strip().split(":")
        if parts[0] != name:
            others += [entry.strip()] if entry.strip() else []
        elif len(parts) > 1 and not parts[1].isdigit():
            kind = parts[1]
    gpu = f"{name}:{kind}" if kind else name
    return changed(site, gpu_gres=gpu, gres=",".join([*others, f"{gpu}:{count}"]))


@dataclass(frozen=True)
class Found:
    """The GPUs of a SLURM cluster.

    Attributes
    ----------
    groups : mapping of str to sequence of parse.NodeGroup
        Nodes by partition.
    gres : str
        Name of the GPUs, with or without a type.
    limit : int or None
        Most GPUs that one job may have.
    """

    groups: Mapping[str, Sequence[parse.NodeGroup]]
    gres: str
    limit: int | None = None

    def per_node(self, partition: str) -> dict[int, int]:
        """Return how many nodes of a partition have how many GPUs.

        Parameters
        ----------
        partition : str
            Its name.

        Returns
        -------
        dict of int to int
            Numbers of nodes by number of GPUs, without the nodes that have none.
        """
        found: dict[int, int] = {}
        for group in self.groups.get(partition, ()):
            if gpus := parse.parse_gres(group.gres, self.gres):
                found[gpus] = found.get(gpus, 0) + group.nodes
        return found

    def jobs(self, caller: str, partition: str, gpus: int, processes: int, least: int) -> int:
        """Return how many jobs can have their GPUs at the same time.

        Parameters
        ----------
        caller : str
            Name of the public function that was called.
        partition : str
            Partition of the jobs.
        gpus, processes : int
            GPUs of each worker process, and worker processes of a job.
        least : int
            Jobs that there must be GPUs for.

        Returns
        -------
        int
            `least` or more.

        Raises
        ------
        ValueError
            The partition has fewer GPUs than `least` jobs need.
        """
        nodes, count = self.per_node(partition), gpus * processes
        if not nodes:
            raise ArgumentValueError(
                f"<{caller}> `gpus_per_worker={gpus}`, but the nodes of partition {partition!r} "
                f"have no GPUs ({self.gres!r} in SLURM's generic resources). {self._elsewhere()}"
            )
        job = counted(count)
        if processes > 1:
            job += f" ({processes} processes with {counted(gpus)} each)"
        if count > max(nodes):
            raise ArgumentValueError(
                f"<{caller}> A job would need {job}, but a node of partition {partition!r} has at "
                f"most {max(nodes)}. Ask for fewer, or for another partition. {self._elsewhere()}"
            )
        if self.limit is not None and count > self.limit:
            raise ArgumentValueError(
                f"<{caller}> A job would need {job}, but may have at most {self.limit} in "
                f"partition {partition!r} (limit of its QoS). Ask for fewer GPUs."
            )
        possible = sum(number * (size // count) for size, number in nodes.items())
        if possible < least:
            total = sum(number * size for size, number in nodes.items())
            raise ArgumentValueError(
                f"<{caller}> {least} jobs with {job} each would need {least * count}, but "
                f"partition {partition!r} has {total}, enough for {possible} such jobs at a time. "
                f"Ask for n_workers={possible}, or for fewer GPUs."
            )
        return possible

    def _elsewhere(self) -> str:
        known = {name: self.per_node(name) for name in self.groups}
        listed = [f"{name} ({max(nodes)} a node)" for name, nodes in known.items() if nodes]
        return f"Partitions with GPUs: {', '.join(listed) or 'none'}."
