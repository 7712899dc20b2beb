"""Parts of a cluster's life that local and batch clusters share.

Clients, the scheduler with its dashboard, the dask configuration, signals that end the program, and
the registry of folders to remove at the end. This room may import `console` and `errors`.
"""
