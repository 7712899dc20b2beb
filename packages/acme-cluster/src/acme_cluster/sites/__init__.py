"""Institutions' clusters, described by data instead of code.

`catalog` loads, recognises and chooses sites, `model` defines a checked site, and `schema` reads
one from YAML or dask's configuration. This room may import `sizes` and `errors`.
"""
