"""The calls of a run as the client knows them: states, results, and calls that a loop gets.

Used by `acme_core.run` alone; imports nothing of it but its own modules.
"""
