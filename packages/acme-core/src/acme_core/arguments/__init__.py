"""Which call gets which arguments: pure logic that starts nothing and reads no file.

Other rooms use `distribution` (`distribute`, `Distribution`, `CallTemplate`, `ArgumentKey`),
`markers`, `grid`, `rows`, `h5_arguments`, `value_kinds`, `signatures` and `lazy_types`; this room
imports `errors` alone. It never loads NumPy, pandas or h5py: before the user's own values bring
them, no value can be theirs.
"""
