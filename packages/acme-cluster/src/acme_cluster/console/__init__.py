"""What users see: log messages, questions at the terminal, and the silence of dask's loggers.

Imports nothing else of this package.
"""
