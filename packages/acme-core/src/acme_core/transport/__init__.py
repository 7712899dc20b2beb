"""How functions, arguments and outcomes travel between the client and its workers.

Other rooms use `protocol` (the messages), `serialization` (pickles), `shared_arguments`,
`crossed_values`, `row_columns`, `large_objects` and `mapped_arrays` (files instead of messages),
`outcome_events`, and `dask_internals`. This room imports `acme_core.arguments` and
`acme_core.errors`.
"""
