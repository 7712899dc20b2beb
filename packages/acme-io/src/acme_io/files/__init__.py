"""Files as bytes: whole or absent, with a checksummed header.

Lives here: temporary names and renames, checksums, the header of every file, and pickles. Others
import these modules by name. May import `records`; knows nothing of HDF5.
"""
