"""One supervised process: started, watched until ready, started again with back-off when it dies."""

import asyncio
import contextlib
import datetime
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from heli.cli.supervisor import lifeline
from heli.cli.supervisor.events import Died, Draining, Event, Killed, Ready, Started, Stuck
from heli.cli.supervisor.log_file import last_complaint, open_log, size_of
from heli.cli.supervisor.probing import until_ready, why_not
from heli.cli.supervisor.process_file import SUPERVISOR_VARIABLE, ChildRecord
from heli.cli.supervisor.services import Service

FIRST_DELAY_S = 0.2
LONGEST_DELAY_S = 10.0
PATIENCE_S = 40.0
"""Who runs so long and is not ready is asked why, and that is told."""
STEADY_S = 10.0
"""Who ran this long starts again without a penalty."""


class Child:
    """A process and what is known of it. `on_event` is called after each change of `record`."""

    def __init__(self, service: Service, logs: Path, on_event: Callable[[Event], None]) -> None:
        self.service = service
        self.was_ready = False
        self.exit_code: int | None = None
        self.record = ChildRecord(
            name=service.name,
            state="starting",
            ports=service.ports,
            log=str(logs / f"{service.name}.log"),
        )
        self._logs = logs
        self._on_event = on_event
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._delay_s = FIRST_DELAY_S
        self._log_begins = 0
        """Where in its log the process began to write."""

    async def supervise(self) -> None:
        """Keep the process running until `stop`."""
        try:
            while not self._stopping.is_set():
                started = time.monotonic()
                reason = await self._run_once(started)
                if self._stopping.is_set():
                    break
                await self._back_off(reason, time.monotonic() - started)
        finally:
            self._set(state="stopped", pid=None)
            self._ended.set()

    async def stop(self) -> None:
        """Ask the process to end; make it when it takes too long."""
        self._stopping.set()
        if self._process and self._process.returncode is None:
            self._set(state="stopping")
            self._on_event(Draining(self.service.name))
            self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(self.service.drain_s):
                await self._ended.wait()
        except TimeoutError:
            self.kill()
            await self._ended.wait()

    def kill(self) -> None:
        """End the process and everything that it started, now."""
        self._stopping.set()
        if self._process and self._process.returncode is None:
            self._on_event(Killed(self.service.name))
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def _run_once(self, started: float) -> str:
        """Run the process to its end; the reason why it ended."""
        try:
            self._process = process = await self._start()
        except OSError as error:
            return f"it cannot be started: {error}"
        now = datetime.datetime.now(datetime.UTC)
        self._set(state="starting", pid=process.pid, started_at=now, ready_s=None)
        self._on_event(Started(self.service.name, process.pid))
        if self._stopping.is_set():  # It was asked to end while it was being started.
            self._signal(signal.SIGTERM)
        readiness = asyncio.create_task(self._watch_readiness(started))
        try:
            self.exit_code = code = await process.wait()
        finally:
            readiness.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await readiness
        self._sweep(process.pid, signal.SIGKILL if self._stopping.is_set() else signal.SIGTERM)
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    async def _start(self) -> asyncio.subprocess.Process:
        file, log = open_log(self._logs, self.service.name)
        self._log_begins = size_of(file)
        try:
            return await asyncio.create_subprocess_exec(
                *self.service.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | {SUPERVISOR_VARIABLE: str(os.getpid())},
                process_group=0,
                preexec_fn=lifeline.tie_to_parent(),
            )
        finally:
            os.close(log)

    async def _watch_readiness(self, started: float) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await until_ready(self.service.probes)
        except TimeoutError:
            message, hint = await why_not(self.service.probes)
            message = message or f"it is not ready after {PATIENCE_S:.0f} s"
            self._on_event(Stuck(self.service.name, message, hint or f"see {self.record.log}"))
            await until_ready(self.service.probes)
        seconds = time.monotonic() - started
        self.was_ready = True
        self._set(state="ready", ready_s=round(seconds, 3), complaint=("", ""))
        self._on_event(Ready(self.service.name, seconds))

    async def _back_off(self, reason: str, ran_s: float) -> None:
        if ran_s >= STEADY_S:
            self._delay_s = FIRST_DELAY_S
        delay_s, self._delay_s = self._delay_s, min(self._delay_s * 2, LONGEST_DELAY_S)
        said = last_complaint(Path(self.record.log), self._log_begins)
        self._set(state="waiting", pid=None, restarts=self.record.restarts + 1, complaint=said)
        self._on_event(Died(self.service.name, reason, delay_s, self.record.log, *said))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._stopping.wait()

    def _signal(self, number: int) -> None:
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    @staticmethod
    def _sweep(group: int, number: int) -> None:
        """What the process started and left behind goes with it; after a crash it may finish its calls."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)

    def _set(self, **changes: object) -> None:
        for name, value in changes.items():
            setattr(self.record, name, value)
