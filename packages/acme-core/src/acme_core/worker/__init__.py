"""Code that runs in a worker process: the calls of a batch, and the environment that they need.

dask runs `task.run_batch`; fork servers and batch jobs import `preload`. The client uses
`evaluation` for calls in its own process, and `failures`. This room imports `acme_core.transport`
and the rooms below it, and must be importable without the rooms above: workers never import those.
"""
