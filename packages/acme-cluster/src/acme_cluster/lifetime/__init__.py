"""What accompanies a cluster from its start to its end.

Its clients, its scheduler with the dashboard, the dask configuration it runs with, the signals that
end it, and the registry of folders to remove with it. May import `console` and `errors`.
"""
