"""How the calls of a run reach the workers: batches, their sizes, and who gets them.

Other rooms use `engine.Engine`. This room imports `acme_core.worker`, `acme_core.transport` and the
rooms below them; it knows nothing of files, options or progress bars.
"""
