"""Small files written and read without the HDF5 library.

`template_for` makes a new file from the bytes of an earlier one with the same structure,
`pattern_of` reads a file whose structure was seen before. Both return None where they do not apply;
the caller then uses the library. `ACME_IO_TEMPLATES=off` in the environment switches both off.

The plain way is `acme_io.hdf5.run_file.build_file` and `acme_io.hdf5.checked_file.CheckedFile`.
`tests/hdf5/templates` holds the property tests that both ways agree.
"""

import os

__all__ = ["switched_on"]

VARIABLE = "ACME_IO_TEMPLATES"


def switched_on() -> bool:
    """Whether small files may be written and read without the library.

    The environment variable `ACME_IO_TEMPLATES=off` turns this off here and, because worker
    processes inherit the environment, on the workers. Files are the same either way; without
    templates they take 1.5 to 4 times as long to write and up to 9 times as long to read.
    """
    # Read on every call, not at import, so that a test or a notebook can change its mind.
    return os.environ.get(VARIABLE, "").lower() not in ("off", "0", "false", "no")
