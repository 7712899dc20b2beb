"""The command that job scripts run: `python -m acme_cluster.job_worker`.

It keeps this place because job scripts in the queue name it, and may start after an upgrade. What
it does is in `acme_cluster.batch_system.job_worker`.
"""

from __future__ import annotations

import sys

from acme_cluster.batch_system.job_worker import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
