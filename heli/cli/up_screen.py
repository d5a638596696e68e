"""What `heli up` shows: each process as it becomes ready, then the lines to paste."""

import datetime
import sys
from pathlib import Path
from typing import TextIO

from heli import __version__
from heli.cli.commands import COMMANDS
from heli.cli.intercept_status import look_at_interceptor, tell_unreached
from heli.cli.printable import pad
from heli.cli.supervisor.events import AllReady, Died, Draining, Event, Failed, Killed, Ready, Started, Stuck
from heli.cli.supervisor.services import Service, ports_of
from heli.cli.terminal import can_redraw, paint, wants_color
from heli.schema.paths import Paths
from heli.schema.settings import Settings

NAME_WIDTH = 11
WHERE_WIDTH = 44


class Screen:
    """Draws events. On a terminal, a process's line is drawn over when it becomes ready."""

    def __init__(
        self, services: list[Service], settings: Settings, paths: Paths, out: TextIO | None = None
    ) -> None:
        self._settings = settings
        self._paths = paths
        self._out = out or sys.stdout
        self._redraws = can_redraw(self._out)
        self._colored = wants_color(self._out)
        self._states: dict[str, str] = {service.name: "starting …" for service in services}
        self._is_settled = False
        self._told: dict[str, str] = {}
        """The last complaint of each process."""

    def open(self) -> None:
        """The head, at once: a sign of life."""
        self._write(f"heli {__version__} · local mode · data {tilde(self._paths)}\n\n")
        if self._redraws:
            self._write("".join(self._line(name) for name in self._states))

    def __call__(self, event: Event) -> None:
        match event:
            case Ready(name, seconds):
                self._become(name, paint("ready", "good", self._colored) + f" {seconds:4.1f} s")
            case Died():
                self._tell_death(event)
            case AllReady():
                self._is_settled = True
                self._write(f"\n{self._lines_to_paste()}")
                self._tell_authority()
            case Draining(name):
                self._is_settled = True
                self._note(f"stopping {name} …")
            case Killed(name):
                self._note(f"{name} was killed")
            case Stuck(name, message, hint):
                self._tell_trouble(name, f"{name} does not start", message, hint)
            case Started() | Failed():
                pass
        self._out.flush()

    def _tell_authority(self) -> None:
        """Whether it is too old to sign for all hosts; the interceptor knows."""
        seen = look_at_interceptor(self._settings, self._paths)
        if seen is not None and seen.unreached:
            self._write(f"\nthe authority: {tell_unreached(seen.unreached)}; `heli ca rotate` replaces it\n")

    def _tell_death(self, died: Died) -> None:
        """The same complaint is told once, not with each try."""
        if not self._is_settled:
            self._states[died.name] = "starting …"
        what = f"{died.name} ended ({died.reason})"
        if died.message:
            self._tell_trouble(died.name, what, died.message, died.hint)
        else:
            self._note(f"{what}; starting again in {died.retry_s:g} s · {died.log}")

    def _tell_trouble(self, name: str, what: str, message: str, hint: str) -> None:
        if self._told.get(name) != message:
            self._told[name] = message
            self._note(f"{what}: {message}")
            if hint:
                self._note(f"it is tried again until that is put right: {hint}")

    def _become(self, name: str, state: str) -> None:
        self._states[name] = state
        if self._is_settled:
            self._note(f"{name} is ready again")
        elif self._redraws:
            up = len(self._states)
            self._write(f"\x1b[{up}A\r" + "".join(f"\x1b[2K{self._line(name)}" for name in self._states))
        else:
            self._write(self._line(name))

    def _note(self, text: str) -> None:
        """Said between, with the time; the table is drawn again below it while it is not complete."""
        text = f"{datetime.datetime.now().astimezone():%H:%M:%S}  {text}"
        if self._redraws and not self._is_settled:
            up = len(self._states)
            table = "".join(f"\x1b[2K{self._line(name)}" for name in self._states)
            self._write(f"\x1b[{up}A\r\x1b[2K  {text}\n{table}")
        else:
            self._write(f"  {text}\n")

    def _line(self, name: str) -> str:
        place = pad(where(name, ports_of(name, self._settings), self._settings.host), WHERE_WIDTH)
        return f"  {pad(name, NAME_WIDTH)}{place}  {self._states[name]}\n"

    def _lines_to_paste(self) -> str:
        host, ports = url_host(self._settings.host), self._settings.ports
        blocks = []
        if "run" in COMMANDS:
            blocks.append(("Watch a program", "heli run -- claude"))
        blocks.append(
            (
                "or swap a base URL" if blocks else "Swap a base URL",
                f"export OPENAI_BASE_URL=http://{host}:{ports.openai}/v1",
            )
        )
        blocks.append(("", f"export ANTHROPIC_BASE_URL=http://{host}:{ports.anthropic}"))
        views = ["heli logs --tail", "heli tui" if "tui" in COMMANDS else "heli status"]
        blocks.append(("then", "   ·   ".join(views)))
        return "".join(f"{title:<20}{paint(line, 'strong', self._colored)}\n" for title, line in blocks)

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


def where(name: str, ports: dict[str, int], host: str) -> str:
    """What a process offers and where: `OpenAI 8787 · Anthropic 8790 · any 8789`."""
    match name:
        case "gateway":
            return f"OpenAI {ports['openai']} · Anthropic {ports['anthropic']} · any {ports['gateway']}"
        case "intercept":
            return f"HTTPS_PROXY {ports['intercept']}"
        case "backend":
            return f"REST API http://{url_host(host)}:{ports['backend']}"
        case _:
            return f"embedded ClickHouse engine {ports['store']}"


def url_host(host: str) -> str:
    """The host to put into a URL on this machine."""
    if host in ("127.0.0.1", "localhost"):
        return "localhost"
    return f"[{host}]" if ":" in host else host


def tilde(paths: Paths) -> str:
    """The data folder as people write it."""
    home = Path.home()
    return f"~/{paths.data.relative_to(home)}" if paths.data.is_relative_to(home) else str(paths.data)
