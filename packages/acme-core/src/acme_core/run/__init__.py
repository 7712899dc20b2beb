"""One run, from the checked options to results or an error.

`acme_core.parallel_map` uses this room; nothing else does. It may import every other room. The
modules that `ParallelMap(...)` needs (`spec`, `clients`, `outcome`, `results_folder`,
`argument_warnings`, `shared_arguments` of the transport) load neither NumPy, h5py nor dask.
"""
