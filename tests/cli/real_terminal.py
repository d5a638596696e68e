"""A real terminal for tests: a tmux session."""

import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path

PATIENCE_S = 20


class Terminal:
    """A tmux session of its own server."""

    def __init__(
        self, folder: Path, environment: dict[str, str], columns: int, lines: int, shell: str = "sh"
    ) -> None:
        self._socket = f"heli-{uuid.uuid4().hex[:8]}"
        self._folder = folder
        wishes = [word for name, value in environment.items() for word in ("-e", f"{name}={value}")]
        self._tmux(
            "-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(lines), *wishes, shell
        )

    def type(self, text: str) -> None:
        self._tmux("send-keys", text, "Enter")

    def press(self, key: str) -> None:
        self._tmux("send-keys", key)

    def resize(self, columns: int, lines: int) -> None:
        self._tmux("resize-window", "-x", str(columns), "-y", str(lines))

    def screen(self) -> str:
        return self._tmux("capture-pane", "-p", "-S", "-")

    def until(self, shows: Callable[[str], object]) -> str:
        """The screen as soon as it shows that."""
        deadline = time.monotonic() + PATIENCE_S
        while not shows(screen := self.screen()):
            assert time.monotonic() < deadline, f"it never came:\n{screen}"
            time.sleep(0.05)
        return screen

    def wait(self, is_so: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not is_so():
            assert time.monotonic() < deadline, "it never came to be"
            time.sleep(0.05)

    def close_pane(self) -> None:
        """Close the terminal that the shell runs in; the server stays for `close`."""
        self._tmux("new-window", "-d", "sh")
        self._tmux("kill-pane", "-t", ":0")

    def close(self) -> None:
        self._tmux("kill-server")

    def _tmux(self, *words: str) -> str:
        command = ["tmux", "-L", self._socket, *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=self._folder).stdout
