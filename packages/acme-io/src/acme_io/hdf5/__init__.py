"""HDF5 files as acme-io writes and reads them.

Lives here: low-level calls of h5py, new files that survive write errors, files that are checked
before HDF5 sees them, the frame that all files of a run share, and containers. The sub-package
`templates` makes small files without the library. May import `files`, `values` and `records`.
"""
