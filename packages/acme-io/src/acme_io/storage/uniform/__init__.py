"""Merged results of one shape and dtype: a dataset per return value, a row per call.

Others import `way.Uniform`; merging uses the writer.
"""
