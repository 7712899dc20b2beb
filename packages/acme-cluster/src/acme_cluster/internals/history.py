"""What a scheduler keeps of tasks that are gone: next to nothing.

distributed keeps logs of events, messages and transitions, bounded by the setting
``distributed.admin.low-level-log-length``, and a `distributed.spans.Span` with the group of its
tasks for every time that the cluster was busy, without a bound. A client on which many short runs
follow each other grew by 75 kB a run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from distributed.spans import SpansSchedulerExtension

if TYPE_CHECKING:
    from distributed import Scheduler

__all__ = ["keep_no_history"]


def keep_no_history(scheduler: Scheduler) -> None:
    """Let a new scheduler forget tasks completely when their client has released them.

    Parameters
    ----------
    scheduler : distributed.Scheduler
        A scheduler that nobody is connected to yet.
    """
    known: Any = scheduler
    known.extensions["spans"] = _UsersSpans(scheduler)
    # A stream has the length that is configured when its worker joins, which may be long after the
    # configuration of the cluster was in effect. The length of the other logs is that of now.
    length = known.transition_log.maxlen
    known.stream_comms = _Streams(length)
    known.client_comms = _Streams(length)


class _UsersSpans(SpansSchedulerExtension):
    """Spans that a user has opened, and no default span.

    The dashboard shows the metrics of all other tasks without them.
    """

    def observe_tasks(self, tss: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
        """Attach tasks to the spans that they were submitted in."""
        users = [ts for ts in tss if ts.group.span_id or (ts.annotations or {}).get("span")]
        return super().observe_tasks(users, *args, **kwargs) if users else {}

    def heartbeat(self, ws: Any, data: Mapping[Any, float]) -> None:
        """Add what a worker measured for tasks in spans."""
        known = {key: value for key, value in data.items() if key[1] in self.spans}
        super().heartbeat(ws, known)


class _Streams(dict[str, Any]):
    """Streams of messages by address, each with a short log of what it sent.

    A message with the arguments of calls may have hundreds of kilobytes.
    """

    def __init__(self, length: int) -> None:
        super().__init__()
        self._length = length

    def __setitem__(self, address: str, stream: Any) -> None:
        stream.recent_message_log = deque(stream.recent_message_log, maxlen=self._length)
        super().__setitem__(address, stream)
