"""Files as bytes: complete or absent, with a checksummed header.

Lives here: temporary names and renames, checksums, the header of every file, and pickles. Other
rooms import these modules by name. May import `records`, never HDF5.
"""
