"""A whole heli of its own, started as its users start it, whose providers are the stand-in."""

import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from heli.client.api import Client
from heli.schema.errors import NotFoundError
from heli.schema.request import Request
from tests.standin import StandIn

PORTS = ("openai", "log_api", "gateway", "anthropic", "backend", "store", "intercept")
PROVIDERS = ("openai", "anthropic", "google", "groq")
"""Their public addresses lead to the stand-in."""
PATIENCE_S = 10.0
"""How long a test waits for a row; that it comes within a second has a test of its own."""


class RunningHeli:
    """`heli up -d` in a folder of its own, until the `with` block ends."""

    def __init__(self, home: Path, ports: list[int], standin: StandIn) -> None:
        self.home = home
        self.ports = dict(zip(PORTS, ports, strict=True))
        self.openai = f"http://127.0.0.1:{self.ports['openai']}"
        self.anthropic = f"http://127.0.0.1:{self.ports['anthropic']}"
        self.gateway = f"http://127.0.0.1:{self.ports['gateway']}"
        self.backend = f"http://127.0.0.1:{self.ports['backend']}"
        self.client = Client(self.backend)
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HELI_")},
            "HELI_HOME": str(home),
            **{f"HELI_PORTS__{name.upper()}": str(port) for name, port in self.ports.items()},
            **{f"HELI_PROVIDERS__{name.upper()}__BASE_URL": standin.url for name in PROVIDERS},
        }

    def command(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run a heli command in this heli's environment."""
        return subprocess.run(
            [sys.executable, "-m", "heli", *words],
            env=self.environ, cwd=self.home, capture_output=True, text=True, timeout=90, check=False,
        )  # fmt: skip

    def __enter__(self) -> Self:
        self.home.mkdir(parents=True, exist_ok=True)
        started = self.command("up", "-d")
        assert started.returncode == 0, f"{started.stdout}\n{started.stderr}\n{self.logs()}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        stopped = self.command("down", "--now")
        assert stopped.returncode == 0, f"{stopped.stdout}\n{stopped.stderr}\n{self.logs()}"

    def logs(self) -> str:
        """The end of what each process wrote."""
        files = sorted((self.home / "state" / "logs").glob("*"))
        return "\n".join(f"== {file.name}\n{file.read_text()[-2000:]}" for file in files)

    def logged_in(self, filter: str, count: int, seconds: float = PATIENCE_S) -> list[Request]:
        """The rows that a filter finds, oldest first, once there are so many."""
        deadline = time.monotonic() + seconds
        while True:
            rows = self.client.requests(filter, order="oldest").requests
            if len(rows) >= count or time.monotonic() > deadline:
                return rows
            time.sleep(0.02)

    def logged(self, request_id: str, seconds: float = PATIENCE_S) -> Request:
        """The row of a request, waited for."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return self.client.request(request_id)
            except NotFoundError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.02)
