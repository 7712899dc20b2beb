"""The public functions that start and stop workers, and the steps of a start.

`local` starts workers on this machine, `slurm` on SLURM, the ESI cluster or any described site, and
`automatic` on whichever of these fits. `cleanup` stops them. `batch` starts jobs and `waiting`
waits for their workers.

The root of the package re-exports the public names; otherwise only `acme_cluster.backend` imports
from here. This room may import every other room.
"""
