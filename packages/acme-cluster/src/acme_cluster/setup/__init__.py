"""What users call to start and stop workers, and the steps of a start.

`local`, `slurm` (SLURM, ESI and any described site) and `automatic` (whichever fits) hold the
public functions, `cleanup` the public functions that stop workers. `batch` starts jobs and
`waiting` waits for their workers.

The package's root re-exports the public names; only `acme_cluster.backend` imports from here
otherwise. This room may import every other room.
"""
