"""Whether this machine looks like part of a batch system: told by files, without asking anybody.

Asking takes a process and an answer; this is for those who only want to know what is worth doing
meanwhile, and may be wrong. It imports next to nothing.
"""

from __future__ import annotations

import os
import shutil

__all__ = ["looks_like_slurm"]

# Where Debian, Red Hat, OpenHPC and SLURM itself put it; the last is the cache of nodes that fetch
# their configuration from the controller.
_CONFIGURATIONS = (
    "/etc/slurm/slurm.conf",
    "/etc/slurm-llnl/slurm.conf",
    "/usr/local/etc/slurm.conf",
    "/run/slurm/conf/slurm.conf",
)


def looks_like_slurm() -> bool:
    """Tell whether SLURM's commands are installed and a configuration of it is there."""
    sbatch = shutil.which("sbatch")
    if sbatch is None:
        return False
    if "SLURM_CONF" in os.environ:
        return True
    prefix = os.path.dirname(os.path.dirname(os.path.realpath(sbatch)))
    own = os.path.join(prefix, "etc", "slurm.conf")
    return any(map(os.path.exists, (*_CONFIGURATIONS, own)))
