"""A store process for tests, and rows to put into it."""

import datetime
import http.client
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

from heli.backend.stores.request_log import LogRow, RequestLog, open_request_log
from heli.schema.exchange import Outcome
from heli.schema.request import Request
from heli.schema.settings import Loaded, load_settings
from heli.schema.usage import CostState, Usage

START_TIMEOUT_S = 30.0
NOON = datetime.datetime(2026, 11, 1, 12, 0, 0, 123456, datetime.UTC)
_counter = itertools.count(1)


class RunningStore:
    """`heli.backend.store_server` on a folder of its own and a free port."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port()
        self.process: subprocess.Popen[str] | None = None

    @property
    def environ(self) -> dict[str, str]:
        return os.environ | {"HELI_HOME": str(self.home), "HELI_PORTS__STORE": str(self.port)}

    @property
    def loaded(self) -> Loaded:
        return load_settings({"HELI_HOME": str(self.home), "HELI_PORTS__STORE": str(self.port)}, self.home)

    @property
    def password(self) -> str:
        return self.loaded.paths.store_password.read_text()

    def launch(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "heli.backend.store_server"]
        return subprocess.Popen(command, env=self.environ, stderr=subprocess.PIPE, text=True)

    def start(self) -> float:
        """Returns after how many seconds it answered."""
        began = time.monotonic()
        self.home.mkdir(exist_ok=True, parents=True)
        self.process = self.launch()
        while time.monotonic() - began < START_TIMEOUT_S:
            if self.process.poll() is not None:
                raise AssertionError(f"the store ended at once: {self.process.communicate()[1]}")
            try:
                if self.call("GET", "/ping")[0] == 200:
                    return time.monotonic() - began
            except OSError:
                time.sleep(0.01)
        raise AssertionError("the store does not answer")

    def call(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """A plain call without a client library: `(status, headers, body)`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, headers or {})
            with connection.getresponse() as response:
                return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()

    def identity(self) -> dict[str, str]:
        return {"X-ClickHouse-User": "heli", "X-ClickHouse-Key": self.password}

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        return self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        self.process.communicate(timeout=30)
        return self.process.returncode

    def log(self) -> RequestLog:
        return open_request_log(self.loaded)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def a_request(**fields: Any) -> Request:
    """A finished chat call; ids and times count up."""
    number = next(_counter)
    created_at = NOON + datetime.timedelta(seconds=number)
    defaults: dict[str, Any] = {
        "id": uuid.UUID(int=number, version=4),
        "created_at": created_at,
        "ended_at": created_at + datetime.timedelta(milliseconds=250),
        "listener": "openai",
        "outcome": Outcome.COMPLETE,
        "provider": "OPENAI",
        "operation": "chat",
        "origin": "https://api.openai.com",
        "path": "/v1/chat/completions",
        "model": "gpt-4o-mini",
        "status": 200,
        "usage": Usage(input_tokens=100, output_tokens=5),
        "cost_state": CostState.EXACT,
        "cost_usd": Decimal("0.0000123"),
    }
    return Request(**defaults | fields)


def a_row(request: Request | None = None, **fields: Any) -> LogRow:
    return LogRow(request=request or a_request(), **fields)


def some_rows(count: int, organisation_id: uuid.UUID, **fields: Any) -> list[LogRow]:
    return [a_row(a_request(organisation_id=organisation_id, **fields)) for _ in range(count)]
