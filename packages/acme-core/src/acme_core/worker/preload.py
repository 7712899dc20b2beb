"""The modules that workers need, imported once before workers are forked.

The fork server of local workers imports this module, and so do the jobs of a batch system, which
find it by the entry point `acme_cluster.preload`. Otherwise, each worker would import all of it in
its first call.
"""

from importlib import import_module

from acme_core.arguments import distribution
from acme_core.worker import environment, task
from acme_io.backend import WORKER_MODULES

__all__ = ["distribution", "task"]

# h5py and the modules that store results, as declared by acme_io.
for _module in WORKER_MODULES:
    import_module(_module)

# Looking through a thousand modules takes longer than many calls do; workers inherit the result.
environment.note_imports()
