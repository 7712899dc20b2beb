"""What a contender's script notes down, for `contest` to read when its process has ended.

Everything is standard library, and next to nothing is imported: scripts run in the environments of
other libraries, and what is imported here counts as their time.
"""

import json
import os
import time


def figure(name: str, value: float) -> None:
    """Note one figure, say seconds or megabytes; of a name that comes again the last one counts."""
    with open(os.environ["CONTEST_FIGURES"], "a") as file:
        file.write(json.dumps({name: value}) + "\n")


def mark(phase: str) -> None:
    """Note when a phase was over, in seconds since the process was started."""
    figure(phase, time.time() - float(os.environ["CONTEST_START"]))
