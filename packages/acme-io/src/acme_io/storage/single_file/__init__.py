"""All results in one file, a group per call.

Workers write part files, which the client copies into the container as they come in. Others import
`way.SingleFile`; merging also uses the assembler, and `uniform` builds on the source.
"""
