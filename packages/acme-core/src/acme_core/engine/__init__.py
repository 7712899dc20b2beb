"""How the calls of a run reach the workers: batches, their sizes, and which worker gets each one.

Other rooms use `engine.Engine`. This room imports `acme_core.worker`, `acme_core.transport` and the
rooms below them; it does not deal with files, options or progress bars.
"""
