"""Values of pandas as groups: frames, series, indexes, columns and scalars, a module each.

Imported by `acme_io.values.groups` for values of pandas only; may import the other `values`.
"""
