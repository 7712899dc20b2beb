"""First return values stacked into one dataset, a row per call.

Workers write one file of rows per batch. The container maps these files into one virtual dataset,
or holds a copy of the rows with `single_file=True`. Other packages import `way.Stacked` and
`way.StackedSingleFile` only.
"""
