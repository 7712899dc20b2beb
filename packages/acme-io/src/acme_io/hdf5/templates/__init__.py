"""Small files written and read without the HDF5 library.

`template_for` makes a new file from the bytes of an earlier one of the same structure, `pattern_of`
reads a file whose structure was seen before. Both return None where they cannot, and then the
library does the work. `ACME_IO_TEMPLATES=off` in the environment switches them off.
"""
