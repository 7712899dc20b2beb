"""A guess, from files alone, whether this machine belongs to a SLURM cluster.

`query.usable` knows, but it runs a command. This guess is for deciding what to start early, where
an error costs only time. It imports next to nothing.
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
    """Return whether SLURM's commands and a configuration of SLURM are installed."""
    sbatch = shutil.which("sbatch")
    if sbatch is None:
        return False
    # SLURM's commands read the file that this names, in place of the default ones.
    if "SLURM_CONF" in os.environ:
        return True
    # An installation under a prefix of its own, as with Spack or `./configure --prefix`.
    prefix = os.path.dirname(os.path.dirname(os.path.realpath(sbatch)))
    own = os.path.join(prefix, "etc", "slurm.conf")
    return any(map(os.path.exists, (*_CONFIGURATIONS, own)))
