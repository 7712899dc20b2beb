"""What users read: `Results`, its selections, and the tables and arrays made of them.

`results` and `call_sequence` hold the class, all other modules what its methods do: `selection` by
position, `grid` by value, `stacking`, `tables` (of `columns` and the `leaves` of what calls
returned), `frames` and `labelled` for pandas and xarray. Others import `results.results`, and
`tables` and `columns` to write tables. May import `runs` and the rooms below.
"""
