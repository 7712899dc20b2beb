"""Messages of dask that users must not see."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import atexit, logging, sys
import distributed.deploy.spec as spec
from acme_cluster.console.dask_logging import silence_the_end

# As dask's own function for the end of the program, and a loop that is late.
atexit.unregister(spec.close_clusters)
atexit.register(logging.getLogger("distributed.batched").error, "a connection went")
atexit.register(logging.getLogger("mine").error, "mine")
if sys.argv[1] == "silent":
    silence_the_end()
    silence_the_end()
logging.getLogger("distributed.core").error("before the end")
"""


def said(how: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True
    )
    return done.stderr


def test_dask_is_silent_while_the_program_ends():
    text = said("silent")
    assert "before the end" in text
    assert "mine" in text
    assert "a connection went" not in text
    assert "a connection went" in said("loud")
