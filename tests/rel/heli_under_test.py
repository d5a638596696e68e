"""A whole heli, or the parts of it that a figure needs, on free ports and in a folder of its own."""

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.rel import probe
from tests.rel.free_ports import find_free_ports

READY_S = 60.0
PORTS = ("openai", "anthropic", "gateway", "log_api", "backend", "store", "intercept")
_PROBES = {
    "gateway": ("openai", "/healthcheck"),
    "backend": ("backend", "/readyz"),
    "store": ("store", "/ping"),
    "intercept": ("intercept", "/healthcheck"),
}


def wait_until[T](question: Callable[[], T], seconds: float, what: str) -> T:
    """Ask until the answer is true. Raises `TimeoutError` that says what was waited for."""
    deadline = time.monotonic() + seconds
    while not (told := question()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(0.02)
    return told


class HeliUnderTest:
    """Starts `heli serve …` for each part, ends them by id. Calls to any provider go to `upstream_url`."""

    def __init__(
        self,
        home: Path,
        upstream_url: str,
        *parts: str,
        backend_url: str = "",
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.home = home
        self.ports = dict(zip(PORTS, find_free_ports(len(PORTS)), strict=True))
        self._parts = parts or ("gateway",)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        plain = {name: value for name, value in os.environ.items() if not name.startswith("HELI_")}
        self.environ = plain | {
            "HELI_HOME": str(home),
            **{f"HELI_PORTS__{name.upper()}": str(port) for name, port in self.ports.items()},
            **{
                f"HELI_PROVIDERS__{name}__BASE_URL": upstream_url
                for name in ("OPENAI", "ANTHROPIC", "GOOGLE")
            },
            "HELI_GATEWAY__ALLOW_TARGETS": "127.0.0.1,localhost",
            "HELI_BACKEND__URL": backend_url or f"http://127.0.0.1:{self.ports['backend']}",
            **(environ or {}),
        }

    def url(self, port: str = "openai") -> str:
        return f"http://127.0.0.1:{self.ports[port]}"

    def __enter__(self) -> Self:
        try:
            for part in self._parts:
                self.start(part)
            for part in self._parts:
                self.wait_ready(part)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, part: str) -> None:
        with self.log_file(part).open("ab") as log:
            self._processes[part] = subprocess.Popen(
                [sys.executable, "-m", "heli", "serve", part],
                cwd=self.home,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def log_file(self, part: str) -> Path:
        self.home.mkdir(parents=True, exist_ok=True)
        return self.home / f"{part}.log"

    def log(self, part: str) -> str:
        return self.log_file(part).read_text(errors="replace")

    def is_ready(self, part: str) -> bool:
        port, path = _PROBES[part]
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[port], timeout=2)
        try:
            connection.request("GET", path)
            with connection.getresponse() as reply:
                return reply.status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def wait_ready(self, part: str, seconds: float = READY_S) -> float:
        """Return after how many seconds it answered. Raises with its log when it does not, or has ended."""
        started = time.monotonic()
        while not self.is_ready(part):
            code = self._processes[part].poll()
            if code is not None or time.monotonic() - started > seconds:
                raise RuntimeError(f"{part} is not ready (exit code {code}):\n{self.log(part)[-4000:]}")
            time.sleep(0.02)
        return time.monotonic() - started

    def pid(self, part: str) -> int:
        return self._processes[part].pid

    def workers(self) -> dict[str, int]:
        """`{"gateway-0": pid, …}` of the gateway's workers."""
        marker = "heli.proxy.gateway.worker "
        return {
            f"gateway-{command.partition(marker)[2].split()[0]}": pid
            for pid, command in probe.children(self.pid("gateway")).items()
            if marker in command
        }

    def worker(self) -> int:
        """The process id of the one worker."""
        (pid,) = self.workers().values()
        return pid

    def kill(self, part: str) -> None:
        """`kill -9`, and wait until it is gone."""
        process = self._processes[part]
        process.kill()
        process.wait()

    def end(self, part: str, seconds: float = 45) -> int:
        """SIGTERM; return the exit code."""
        process = self._processes[part]
        process.terminate()
        return process.wait(seconds)

    def stop(self) -> None:
        """End every process, with whatever they started, by id."""
        started = {pid for process in self._processes.values() for pid in _tree(process.pid)}
        for process in self._processes.values():
            if process.poll() is None:
                process.terminate()
        for process in self._processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        own = {process.pid for process in self._processes.values()}
        for pid in started - own:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _tree(pid: int) -> list[int]:
    try:
        return probe.tree(pid)
    except FileNotFoundError:
        return []
