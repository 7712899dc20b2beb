"""What is tried and told before a run: dry run, memory of some calls, warnings about arguments.

Used by `acme_core.run` alone; may import what the modules there may import.
"""
