"""The backend as a process of its own, for tests of its life and death."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx

from heli.schema.settings import Loaded, load_settings
from tests.backend.backend_builders import TOKEN
from tests.backend.stores.running_store import RunningStore, free_port

START = """
import sys
from heli.backend.service import run_backend
from heli.schema.settings import load_settings
sys.exit(run_backend(load_settings()))
"""
PATIENCE_S = 60.0


class BackendProcess:
    """A backend beside a store, which need not run."""

    def __init__(self, store: RunningStore, port: int | None = None) -> None:
        self.port = port or free_port()
        self.environ = store.environ | {
            "HELI_PORTS__BACKEND": str(self.port),
            "HELI_BACKEND__INGEST_TOKEN": TOKEN,
        }
        self.home = store.home
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30, trust_env=False)
        self.process: subprocess.Popen[str] | None = None

    @property
    def loaded(self) -> Loaded:
        environ = {name: value for name, value in self.environ.items() if name.startswith("HELI_")}
        return load_settings(environ, self.home)

    def launch(self) -> subprocess.Popen[str]:
        self.home.mkdir(exist_ok=True, parents=True)
        command = [sys.executable, "-c", START]
        self.process = subprocess.Popen(
            command, env=os.environ | self.environ, cwd=self.home, stderr=subprocess.PIPE, text=True
        )
        return self.process

    def start(self) -> None:
        """Launch, and wait until it lives."""
        self.launch()
        self.wait(lambda: self.status("/healthcheck") == 200)

    def status(self, path: str) -> int:
        """0 when nobody answers."""
        with contextlib.suppress(httpx.TransportError):
            return self.client.get(path).status_code
        return 0

    def wait(self, is_so: Callable[[], Any]) -> float:
        """Until it is so; returns the seconds that this took."""
        began = time.monotonic()
        while not is_so():
            assert time.monotonic() - began < PATIENCE_S, "it never came to be"
            assert self.process is None or self.process.poll() is None, "the backend ended"
            time.sleep(0.02)
        return time.monotonic() - began

    def stop(self) -> tuple[int, str]:
        """SIGTERM; returns the exit code and what it logged."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        _, told = self.process.communicate(timeout=PATIENCE_S)
        self.client.close()
        return self.process.returncode, told

    def kill(self) -> None:
        """For the end of a test, however it went."""
        self.client.close()
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


@contextlib.contextmanager
def running(store: RunningStore, port: int | None = None) -> Iterator[BackendProcess]:
    backend = BackendProcess(store, port)
    try:
        backend.start()
        yield backend
    finally:
        backend.kill()
