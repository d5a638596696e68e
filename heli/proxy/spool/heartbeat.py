"""Tells the backend how much waits here, so that it can be seen from anywhere. Best effort."""

import http.client
import logging
import socket
import threading
import time
from pathlib import Path

import msgspec

from heli.proxy.spool.sending import BackendConnection
from heli.proxy.spool.stopping import Stop
from heli.proxy.spool.survey import survey
from heli.schema.heartbeat import Heartbeat, WorkerSpool

HEARTBEAT_PATH = "/v1/ingest/heartbeat"
EVERY_S = 2.0
SURVEY_SHARE = 20
"""A survey of a spool in which much waits takes long: so many times as long passes before the next one."""
_TIMEOUT_S = 1.0

log = logging.getLogger("heli.shipper")


class HeartbeatSender(threading.Thread):
    """Posts one every `EVERY_S`, with the newest figures that are to be had at a bounded price."""

    def __init__(
        self, spool: Path, dead_letters: Path, gateway: str, url: str, token: str, stop: Stop
    ) -> None:
        super().__init__(name="heli-heartbeat", daemon=True)
        self._spool = spool
        self._dead_letters = dead_letters
        self._gateway = gateway
        self._connection = BackendConnection(url, token, _TIMEOUT_S)
        self._stopped = stop
        self._workers: list[WorkerSpool] = []
        self._survey_at = 0.0
        self._is_heard = True

    def run(self) -> None:
        while True:
            try:
                self.beat()
            except (OSError, http.client.HTTPException) as error:
                log.debug("the heartbeat was not taken: %s", error)
            if self._stopped.wait(EVERY_S):
                break
        self._connection.close()

    def beat(self) -> None:
        """Raises `OSError` or `HTTPException` when nobody took it.

        While nobody does, the spool, in which much waits then, is not looked at.
        """
        if not self._is_heard:
            self._post(self._workers)
        self._is_heard = False
        self._post(self._look())
        self._is_heard = True

    def _post(self, workers: list[WorkerSpool]) -> None:
        beat = Heartbeat(gateway=self._gateway, host=socket.gethostname(), workers=workers)
        self._connection.post(HEARTBEAT_PATH, msgspec.json.encode(beat), {})

    def _look(self) -> list[WorkerSpool]:
        began = time.monotonic()
        if began >= self._survey_at:
            self._workers = survey(self._spool, self._dead_letters)
            ended = time.monotonic()
            self._survey_at = ended + SURVEY_SHARE * (ended - began)
        return self._workers
