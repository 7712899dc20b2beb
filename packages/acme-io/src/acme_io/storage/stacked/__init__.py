"""First return values stacked into one dataset, a row per call.

Workers write a file of rows per batch. The container maps these files into one virtual dataset, or
holds a copy of the rows where the user wants a single file. Others import `way.Stacked` and
`way.StackedSingleFile` only.
"""
