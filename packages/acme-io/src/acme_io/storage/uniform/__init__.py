"""Merged results of one shape and dtype: a dataset per return value, a row per call.

Other packages import `way.Uniform`; `tools.merge` uses the writer.
"""
