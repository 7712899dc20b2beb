"""Console output: log messages, questions at the terminal, and silencing dask's loggers.

This room imports nothing else of this package.
"""
