"""One HDF5 file per call; the container links to them. Others import `way.PerCall` only."""
