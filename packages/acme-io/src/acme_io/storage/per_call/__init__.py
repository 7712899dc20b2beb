"""One HDF5 file per call, linked by the container. Other packages import `way.PerCall` only."""
