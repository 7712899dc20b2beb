"""Small files written and read without the HDF5 library.

`template_for` makes a new file from the bytes of an earlier one with the same structure,
`pattern_of` reads a file whose structure was seen before. Both return None where they do not apply;
the caller then uses the library. `ACME_IO_TEMPLATES=off` in the environment switches both off.

The plain way is `acme_io.hdf5.run_file.build_file` and `acme_io.hdf5.checked_file.CheckedFile`.
`tests/hdf5/templates` holds the property tests that both ways agree.
"""
