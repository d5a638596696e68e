"""`heli up -d`: the supervisor in a session of its own; until it is ready, its events come by a pipe."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import msgspec

from heli.cli.supervisor.events import AllReady, Event, Failed, Stuck
from heli.cli.supervisor.log_file import last_complaint, open_log
from heli.schema.errors import HeliError
from heli.schema.paths import Paths

_decoder = msgspec.json.Decoder(Event)


def start_detached(paths: Paths, report: Callable[[Event], None]) -> None:
    """Start `heli up` in the background; return when it is ready. Raises what makes it fail."""
    reading, writing = os.pipe()
    file, log = open_log(paths.logs, "up")
    command = [sys.executable, "-P", "-m", "heli", "up", "--report-to", str(writing)]
    process = subprocess.Popen(  # noqa: S603 - our own words
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        pass_fds=(writing,),
    )
    os.close(writing)
    os.close(log)
    process.returncode = 0  # It is meant to outlive us: no warning about that.
    last: Event | None = None
    try:
        for last in _events(reading):
            report(last)
    except KeyboardInterrupt:
        process.returncode = None
        process.terminate()
        process.wait()
        raise
    if isinstance(last, AllReady):
        return
    if isinstance(last, Failed):
        raise last.as_error()
    if isinstance(last, Stuck):
        raise HeliError(
            f"{last.name} does not start: {last.message}",
            f"{last.hint}; the rest of heli runs, and goes on trying (`heli status`, `heli down`)",
        )
    message, hint = last_complaint(file)
    raise HeliError(message or "heli ended before it was ready", hint or f"see {file}")


def _events(reading: int) -> Iterator[Event]:
    with os.fdopen(reading, "rb") as stream:
        for line in stream:
            yield _decoder.decode(line)


class PipeReport:
    """The other end: tells events through the pipe, until everything is ready or has failed."""

    def __init__(self, descriptor: int, then: Callable[[Event], None]) -> None:
        self._stream = os.fdopen(descriptor, "wb", buffering=0)
        os.set_inheritable(descriptor, False)
        self._then = then

    def __call__(self, event: Event) -> None:
        if not self._stream.closed:
            self._tell(event)
        self._then(event)

    def _tell(self, event: Event) -> None:
        try:
            self._stream.write(msgspec.json.encode(event) + b"\n")
            is_done = isinstance(event, AllReady | Failed | Stuck)
        except BrokenPipeError:  # Who waited has been interrupted.
            is_done = True
        if is_done:
            self._stream.close()
