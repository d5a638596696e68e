"""Syncs what a group writer has written, in a thread of its own: what comes meanwhile is written too.

What is written survives the end of the process, so that a disk which is slow to sync costs nothing at a
`kill -9`.
"""

import contextlib
import threading
from collections.abc import Callable
from queue import SimpleQueue

from heli.proxy.spool.group_writer import GroupWriter, Sync

LONG_SYNC_BYTES = 1024 * 1024
"""The end of a larger sync is told as urgent: it frees much room in memory."""


class BackgroundSync:
    """At most one sync at a time. All methods are for the spool's thread.

    The thread starts with the first sync, and ends with `close`.
    """

    def __init__(self, tell: Callable[[bool], None]) -> None:
        self._tell = tell
        """Called in the thread when a sync has ended, with whether that is urgent."""
        self._due: SimpleQueue[tuple[Sync, bool] | None] = SimpleQueue()
        self._sync: Sync | None = None
        self._thread: threading.Thread | None = None

    @property
    def is_under_way(self) -> bool:
        return self._sync is not None

    def start(self, writer: GroupWriter) -> None:
        """Have what is written synced, unless an earlier sync is under way."""
        sync = writer.begin_sync() if self._sync is None else None
        if sync is None:
            return
        if self._has_thread():
            self._sync = sync
            self._due.put((sync, writer.unsynced_bytes > LONG_SYNC_BYTES))
        else:
            sync.run()
            writer.end_sync(sync)

    def collect(self, writer: GroupWriter, *, wait: bool) -> None:
        """Tell the writer of the sync under way, if it has ended, or when it has. Raises its error."""
        if self._sync is None:
            return
        if wait:
            self._sync.wait()
        elif not self._sync.is_done:
            return
        sync, self._sync = self._sync, None
        writer.end_sync(sync)

    def close(self) -> None:
        self._due.put(None)

    def _has_thread(self) -> bool:
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="heli-spool-sync", daemon=True)
            with contextlib.suppress(RuntimeError):  # The system has no thread left.
                thread.start()
                self._thread = thread
        return self._thread is not None

    def _run(self) -> None:
        while due := self._due.get():
            sync, is_urgent = due
            sync.run()
            self._tell(is_urgent)
