"""One run, from the checked options to results or an error.

Only `acme_core.parallel_map` uses this room, which may import every other one. The modules that
`ParallelMap(...)` needs (`spec`, `execution`, `connection`, `outcome`, `results_folder`,
`argument_warnings`, `shared_arguments` of the transport) import neither NumPy, h5py nor dask.
"""
