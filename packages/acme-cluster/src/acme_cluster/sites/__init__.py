"""Institutions' clusters, described by data instead of code.

`catalog` loads, recognises and chooses sites, `model` holds a checked site, `schema` reads one from
YAML or dask's configuration. May import `sizes` and `errors`.
"""
