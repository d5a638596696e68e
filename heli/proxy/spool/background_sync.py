"""Syncs what a group writer has written: at once when it is little, else in a thread of its own."""

import threading
from collections.abc import Callable

from heli.proxy.spool.group_writer import GroupWriter, Sync

INLINE_SYNC_BYTES = 1024 * 1024
"""A larger sync has a thread of its own, so that what comes meanwhile need not wait for it in memory."""


class BackgroundSync:
    """At most one sync at a time. All methods are for the spool's thread."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = tell
        """Called in the sync's own thread when it has ended."""
        self._sync: Sync | None = None
        self._thread: threading.Thread | None = None

    def start(self, writer: GroupWriter) -> None:
        """Have what is written synced, unless an earlier sync is under way."""
        sync = writer.begin_sync() if self._sync is None else None
        if sync is None:
            return
        if writer.unsynced_bytes <= INLINE_SYNC_BYTES:
            sync.run()
            writer.end_sync(sync)
            return
        thread = threading.Thread(target=self._run, args=(sync,), name="heli-spool-sync", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # The system has no thread left.
            sync.run()
            writer.end_sync(sync)
        else:
            self._sync, self._thread = sync, thread

    def collect(self, writer: GroupWriter, *, wait: bool) -> None:
        """Tell the writer of the sync that ran in a thread, if it has ended, or when it has."""
        if self._sync is None or self._thread is None:
            return
        if wait:
            self._thread.join()
        elif not self._sync.is_done:  # The thread may live on for a moment when it has told that it is.
            return
        sync, self._sync = self._sync, None
        writer.end_sync(sync)

    def _run(self, sync: Sync) -> None:
        sync.run()
        self._tell()
