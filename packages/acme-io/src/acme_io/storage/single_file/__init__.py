"""All results in one file, a group per call.

Workers write part files, which the client copies into the container as they arrive. Other packages
import `way.SingleFile`; `tools.merge` also uses the assembler, and `uniform` the source.
"""
