"""The ways of storing results, one sub-package each, behind one registry.

A way consists of a sink (on the worker), a finisher (on the client) and a source (for readers);
`way` defines what these have to offer and `registry` chooses. Others import `way_for` and
`layout_named` from `registry`, and the base classes. May import `hdf5` and the rooms below it.
"""
