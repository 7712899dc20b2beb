"""The ways of storing results, one sub-package each, behind one registry.

A way consists of a sink (on the worker), a finisher (on the client) and a source (for readers);
`way` defines their interfaces and `registry` chooses one. Other rooms import `way_for` and
`layout_named` from `registry`, and the base classes. Modules here may import `hdf5` and the rooms
below it.
"""
