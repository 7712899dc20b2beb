"""The command in job scripts, `python -m acme_cluster.job_worker`.

This path must not change: job scripts that wait in a queue contain it, and may start after an
upgrade of this package. The code is in `acme_cluster.batch_system.job_worker`.
"""

from __future__ import annotations

import sys

from acme_cluster.batch_system.job_worker import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
