"""What workers need, imported once before they are forked and not by each in its first call.

The fork server of local workers imports this module, and so do the jobs of a batch system, which
find it under the entry point `acme_cluster.preload`.
"""

from acme_core import distribution, environment, worker
from acme_io import batch_sinks, encoding, payload, sinks, templates

__all__ = ["batch_sinks", "distribution", "encoding", "payload", "sinks", "templates", "worker"]

# Looking through a thousand modules takes longer than many a call.
environment.note_imports()
