"""The steps at which a test may end a process of the spool as `kill -9` would.

`HELI_CRASH_POINT=<name>` ends it at the first such step, `<name>:<nth>` at the nth. When the variable is
unset, `reach` is a function that does nothing.
"""

import os
import signal
from collections.abc import Callable, Mapping

CRASH_POINTS: dict[str, str] = {
    "spool.lock_taken": "the writer holds its folder, but has made nothing in it",
    "spool.segment_made": "a segment file exists, empty",
    "spool.header_written": "a segment has its header, not synced",
    "spool.segment_synced": "a segment and its name are on disk",
    "spool.group_taken": "a group of records left the queue, nothing of it is written",
    "spool.group_torn": "half of a group's bytes are written",
    "spool.group_written": "a group is written, not synced",
    "spool.group_synced": "a group is on disk",
    "spool.segment_sealed": "a full segment was closed, its successor is not made",
    "ledger.plan_written": "the plan of a batch is written, not synced",
    "ledger.plan_synced": "the plan of a batch is on disk",
    "shipper.before_send": "a batch is about to be sent",
    "shipper.batch_sent": "a batch was sent, its answer was not read",
    "shipper.answer_received": "a batch was answered, nothing of the answer is kept",
    "dead_letters.exchange_written": "an exchange is in the dead letters, its reason is not",
    "dead_letters.reason_synced": "an exchange and its reason are in the dead letters",
    "ledger.advance_written": "the new acknowledged position is written, not synced",
    "ledger.advance_synced": "the new acknowledged position is on disk",
    "backlog.before_unlink": "a segment is about to be deleted",
    "backlog.after_unlink": "a segment was deleted",
    "compaction.copy_written": "what open calls need of a segment is copied, not synced",
    "compaction.copy_synced": "the copy is on disk beside the segment",
    "compaction.segment_replaced": "the copy took the segment's place",
}
"""`{name: what is true at that moment}`."""


def is_armed(name: str) -> bool:
    """Whether the process is to end at this point, sooner or later."""
    return name == _armed_name


def _nothing(_name: str, /) -> None:
    pass


def _countdown(armed: str, nth: int) -> Callable[[str], None]:
    left = nth

    def reach(name: str, /) -> None:
        nonlocal left
        if name == armed:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return reach


def _arm(environ: Mapping[str, str]) -> tuple[str, Callable[[str], None]]:
    name, _, nth = environ.get("HELI_CRASH_POINT", "").partition(":")
    if name not in CRASH_POINTS:
        return "", _nothing
    return name, _countdown(name, int(nth or 1))


_armed_name, reach = _arm(os.environ)
