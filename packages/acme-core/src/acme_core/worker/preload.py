"""What workers need, imported once before they are forked and not by each in its first call.

The fork server of local workers imports this module, and so do the jobs of a batch system, which
find it under the entry point `acme_cluster.preload`.
"""

from importlib import import_module

from acme_core.arguments import distribution
from acme_core.worker import environment, task
from acme_io.backend import WORKER_MODULES

__all__ = ["distribution", "task"]

for _module in WORKER_MODULES:
    import_module(_module)

# Looking through a thousand modules takes longer than many a call.
environment.note_imports()
