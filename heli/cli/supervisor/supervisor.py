"""Supervises the processes of one heli until it is told to stop."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from heli.cli.supervisor.child import Child
from heli.cli.supervisor.events import AllReady, Died, Event, Failed, Ready, Stuck
from heli.cli.supervisor.log_file import bound
from heli.cli.supervisor.process_file import ProcessFile
from heli.cli.supervisor.services import DRAINED_FIRST, Service
from heli.schema.errors import ExitCode

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
HOPELESS = (ExitCode.USAGE, ExitCode.DENIED, ExitCode.CONFLICT)
"""A process that ends like this before it was ever ready will not get better by being started again."""
STUCK_AFTER = 3
"""How often a process may end before it was ever ready, until who waits for it is told."""
LOG_CHECK_S = 30.0


class Supervisor:
    """Runs services; tells `report` what happens and keeps the claim's record up to date.

    SIGINT, SIGTERM or SIGHUP drain them one after the other; a second one kills what is left.
    """

    def __init__(
        self,
        services: Sequence[Service],
        claim: ProcessFile,
        logs: Path,
        report: Callable[[Event], None],
    ) -> None:
        self._claim = claim
        self._report = report
        self._started = time.monotonic()
        self._stop = asyncio.Event()
        self._all_ready = False
        self._failure: Failed | None = None
        self.children = [Child(service, logs, self._on_event) for service in services]
        claim.record.children = [child.record for child in self.children]

    async def run(self) -> int:
        """Supervise until a signal. Raises a `HeliError` when a process cannot run at all."""
        self._listen()
        tasks = [asyncio.create_task(child.supervise()) for child in self.children]
        tasks.append(asyncio.create_task(self._bound_logs()))
        try:
            await self._wait(tasks)
            for child in sorted(self.children, key=lambda each: each.service.name not in DRAINED_FIRST):
                await child.stop()
        finally:
            await self._finish(tasks)
        if self._failure:
            raise self._failure.as_error()
        return ExitCode.OK

    async def _wait(self, tasks: list[asyncio.Task[None]]) -> None:
        """Until asked to stop, or until the supervision of a child has failed, which `_finish` raises."""
        stop = asyncio.create_task(self._stop.wait())
        await asyncio.wait([stop, *tasks], return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()

    def stop(self) -> None:
        """Drain; kill when asked a second time."""
        if self._stop.is_set():
            for child in self.children:
                child.kill()
        self._stop.set()

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self.stop)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Died) and self._is_hopeless(event):
            return
        with contextlib.suppress(OSError):  # A full disk must not end what it merely describes.
            self._claim.write()
        self._tell(event)
        if isinstance(event, Died):
            self._tell_if_stuck(event)
        if isinstance(event, Ready) and not self._all_ready and all(c.was_ready for c in self.children):
            self._all_ready = True
            self._tell(AllReady(time.monotonic() - self._started))

    def _tell(self, event: Event) -> None:
        """To who listens; nobody need listen for the processes to run on."""
        with contextlib.suppress(OSError):
            self._report(event)

    def _is_hopeless(self, event: Died) -> bool:
        child = self._child(event.name)
        if child.was_ready or child.exit_code not in HOPELESS:
            return False
        if not self._failure:
            self._failure = Failed(*_why(event), child.exit_code)
            self.stop()
        return True

    def _tell_if_stuck(self, event: Died) -> None:
        child = self._child(event.name)
        if not child.was_ready and child.record.restarts == STUCK_AFTER:
            self._tell(Stuck(event.name, *_why(event)))

    def _child(self, name: str) -> Child:
        return next(child for child in self.children if child.service.name == name)

    async def _finish(self, tasks: list[asyncio.Task[None]]) -> None:
        for child in self.children:
            child.kill()
        tasks[-1].cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _bound_logs(self) -> None:
        while True:
            await asyncio.sleep(LOG_CHECK_S)
            for child in self.children:
                bound(Path(child.record.log))


def _why(event: Died) -> tuple[str, str]:
    """`(message, hint)`: what the process said of its end, else what is known."""
    return event.message or f"{event.name} cannot run: {event.reason}", event.hint or f"see {event.log}"
