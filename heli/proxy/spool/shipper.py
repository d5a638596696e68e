"""Brings what waits in the spool to the backend.

One process serves the folders of all workers, also of those that are long gone.
`python -m heli.proxy.spool.shipper` runs it until SIGTERM.
"""

import http.client
import logging
import os
import random
import sys
import time
from pathlib import Path

from heli.proxy.large_blocks import keep_large_blocks_apart
from heli.proxy.parent_death import die_with_parent
from heli.proxy.spool.backlog import Backlog
from heli.proxy.spool.batches import Batch, compress_list
from heli.proxy.spool.crash_points import reach
from heli.proxy.spool.dead_letters import bury
from heli.proxy.spool.heartbeat import HeartbeatSender
from heli.proxy.spool.live import LiveRelay
from heli.proxy.spool.lock import take_lock_patiently
from heli.proxy.spool.seldom import Seldom
from heli.proxy.spool.sending import Answer, BackendConnection, Verdict, read_answer, send_batch
from heli.proxy.spool.stopping import Stop
from heli.schema.errors import ExitCode, HeliError
from heli.schema.paths import make_private, read_or_make_secret
from heli.schema.settings import Loaded, load_settings

ANSWER_TIMEOUT_S = 30.0
_POLL_S = 0.04
_PACE_S = 0.08
"""Small batches of one folder are this far apart, so that they become bigger."""
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0
"""So that a backend which is back is noticed within a second, and one that is away is asked once in it."""
_OPERATOR_PAUSE_S = 5.0
_LOOK_FOR_FOLDERS_S = 1.0
_STOP_PATIENCE_S = 8.0
_NICENESS = 10

log = logging.getLogger("heli.shipper")


_OPEN_PATH = "/v1/ingest/open"
_SOCKET_LOOK_S = 1.0
_SOCKET_PAUSE_S = 10.0
"""How often the responses that have ended on a WebSocket are told of while it goes on."""
_SOCKET_SHARE = 50
"""Telling of it again takes all of it again: at most this part of the time goes into that."""


class Shipper:
    """Ships batch after batch, a folder at a time, for ever."""

    def __init__(
        self,
        spool: Path,
        dead_letters: Path,
        connection: BackendConnection,
        stop: Stop,
        socket_pause_s: float = _SOCKET_PAUSE_S,
    ) -> None:
        self.is_backend_up = True
        self._spool = spool
        self._dead_letters = dead_letters
        self._connection = connection
        self._stop = stop
        self._backlogs: dict[Path, Backlog] = {}
        self._due: dict[Path, float] = {}
        self._looked_at = -_LOOK_FOR_FOLDERS_S
        self._sockets_at = 0.0
        self._socket_pause_s = socket_pause_s
        self._backend_trouble = Seldom(log)
        self._disk_trouble = Seldom(log)

    def run(self) -> None:
        while not self._stop:
            if not self.ship_round():
                self._stop.wait(_POLL_S)
        for backlog in self._backlogs.values():
            backlog.close()

    def ship_round(self) -> bool:
        """Ship a batch of each folder that has one; whether there may be more at once."""
        self._look_for_folders()
        has_more = False
        for folder in list(self._backlogs):
            if self._stop:
                return False
            try:
                has_more |= self._ship_folder(folder)
            except OSError as error:
                self._start_over(folder, error)
        if not has_more and self.is_backend_up:
            self._tell_of_sockets()
        return has_more

    def _tell_of_sockets(self) -> None:
        """Best effort, and at leisure: the end of a WebSocket brings all of it."""
        began = time.monotonic()
        if began < self._sockets_at:
            return
        for folder, backlog in list(self._backlogs.items()):
            try:
                for exchange in backlog.open_sockets(began, self._socket_pause_s):
                    if self._stop:
                        return
                    answer = read_answer(*self._connection.post(_OPEN_PATH, compress_list([exchange]), {}))
                    if answer.verdict in {Verdict.LATER, Verdict.OPERATOR}:
                        break
            except http.client.HTTPException as error:
                log.debug("an open WebSocket was not told of: %s", error)
            except OSError as error:
                log.debug("an open WebSocket of %s was not told of: %s", folder, error)
        took = time.monotonic() - began
        pause = min(_SOCKET_LOOK_S, self._socket_pause_s)
        self._sockets_at = time.monotonic() + max(pause, took * _SOCKET_SHARE)

    def _ship_folder(self, folder: Path) -> bool:
        backlog = self._backlogs[folder]
        if time.monotonic() < self._due.get(folder, 0.0):
            return False
        batch = backlog.gather()
        if batch is None:
            return False
        if not batch.is_full:
            self._due[folder] = time.monotonic() + _PACE_S
        self._deliver(backlog, batch)
        return batch.is_full

    def _deliver(self, backlog: Backlog, batch: Batch) -> None:
        """Until every exchange of it is stored or in the dead letters, or until asked to stop."""
        backlog.plan(batch)
        answer = self._send_until_taken(batch)
        if answer is None:
            return
        if answer.verdict is Verdict.BAD_BATCH and len(batch.exchanges) > 1:
            for half in batch.halves():
                if not self._stop:
                    self._deliver(backlog, half)
            return
        if answer.verdict is Verdict.BAD_BATCH:
            bury(self._dead_letters, backlog.worker, batch.exchanges[0], answer.reason)
        for id, reason in answer.rejected:
            if exchange := batch.find(id):
                bury(self._dead_letters, backlog.worker, exchange, reason)
            else:
                log.error("the backend rejected %s, which it was not sent: %s", id, reason)
        backlog.acknowledge(batch)

    def _send_until_taken(self, batch: Batch) -> Answer | None:
        """The backend's last word on the batch; `None` when asked to stop before it came."""
        body, token = batch.body(), batch.token
        pause = _FIRST_PAUSE_S
        while True:
            reach("shipper.before_send")
            answer = send_batch(self._connection, body, token)
            reach("shipper.answer_received")
            if answer.verdict in {Verdict.STORED, Verdict.BAD_BATCH}:
                self._backend_is_up()
                return answer
            self._backend_is_down(answer)
            jitter = random.uniform(0.7, 1.4)  # noqa: S311
            longest = _OPERATOR_PAUSE_S if answer.verdict is Verdict.OPERATOR else _LONGEST_PAUSE_S
            if self._stop.wait(min(pause * jitter, longest)):
                return None
            pause = min(pause * 2, longest * 2)

    def _backend_is_up(self) -> None:
        if not self.is_backend_up:
            self.is_backend_up = True
            self._backend_trouble.reset()
            log.info("the backend takes exchanges again")

    def _backend_is_down(self, answer: Answer) -> None:
        self.is_backend_up = False
        self._backend_trouble.warn("the backend takes no exchanges, they wait on disk: %s", answer.reason)

    def _look_for_folders(self) -> None:
        now = time.monotonic()
        if now < self._looked_at + _LOOK_FOR_FOLDERS_S:
            return
        self._looked_at = now
        for folder in sorted(self._spool.iterdir()):
            if folder.is_dir() and folder not in self._backlogs:
                try:
                    self._backlogs[folder] = Backlog(folder)
                except OSError as error:
                    self._disk_trouble.warn("the spool folder %s cannot be read: %s", folder, error)

    def _start_over(self, folder: Path, error: OSError) -> None:
        """What is in memory of a folder may not be what is on disk: read it again, a moment later."""
        self._disk_trouble.warn("trouble with the spool folder %s, it is read again: %s", folder, error)
        self._backlogs.pop(folder).close()
        self._due[folder] = time.monotonic() + _LONGEST_PAUSE_S


def run_shipper(loaded: Loaded) -> int:
    """Ship until SIGTERM or SIGINT, then finish the batch under way. A spool has one shipper at a time."""
    stop = Stop()
    stop.on_signals(_STOP_PATIENCE_S)
    os.nice(_NICENESS)
    keep_large_blocks_apart()
    paths, backend = loaded.paths, loaded.settings.backend
    spool = make_private(paths.spool)
    lock = take_lock_patiently(spool, stop)
    if lock is None:
        return ExitCode.OK
    token = backend.ingest_token or read_or_make_secret(paths.ingest_token)
    url = loaded.settings.backend_url
    connection = BackendConnection(url, token, ANSWER_TIMEOUT_S)
    shipper = Shipper(spool, paths.dead_letters, connection, stop)
    relay = LiveRelay(spool, url, token, stop, lambda: shipper.is_backend_up)
    relay.start()
    gateway = read_or_make_secret(paths.gateway_id)
    heartbeat = HeartbeatSender(spool, paths.dead_letters, gateway, url, token, stop)
    heartbeat.start()
    log.info("shipping %s to %s", spool, url)
    shipper.run()
    relay.join()
    heartbeat.join()
    connection.close()
    os.close(lock)
    log.info("shipper stopped")
    return ExitCode.OK


def main() -> int:
    try:
        loaded = load_settings()
    except HeliError as error:
        sys.stderr.write(error.as_lines)
        return error.exit_code
    die_with_parent(sys.argv[1:])
    logging.basicConfig(
        level=loaded.settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    return run_shipper(loaded)


if __name__ == "__main__":
    sys.exit(main())
