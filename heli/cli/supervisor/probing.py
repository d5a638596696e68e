"""Asking health endpoints whether a process is ready, over plain asyncio streams."""

import asyncio
from collections.abc import Iterable

from heli.cli.supervisor.services import Probe

ANSWER_S = 2.0
POLL_S = 0.05


async def until_ready(probes: Iterable[Probe]) -> None:
    """Return when every endpoint has said 2xx once."""
    waiting = list(probes)
    while waiting:
        answers = await asyncio.gather(*(is_ready(probe) for probe in waiting))
        waiting = [probe for probe, ready in zip(waiting, answers, strict=True) if not ready]
        if waiting:
            await asyncio.sleep(POLL_S)


async def is_ready(probe: Probe) -> bool:
    """Whether the endpoint says 2xx at this moment."""
    status = await ask(probe)
    return status is not None and 200 <= status < 300


async def ask(probe: Probe) -> int | None:
    """The endpoint's HTTP status; `None` when it does not answer in HTTP."""
    try:
        async with asyncio.timeout(ANSWER_S):
            return await _get(probe)
    except (OSError, ValueError, IndexError, TimeoutError, asyncio.LimitOverrunError):
        return None


async def _get(probe: Probe) -> int:
    reader, writer = await asyncio.open_connection(probe.host, probe.port)
    try:
        host = f"[{probe.host}]" if ":" in probe.host else probe.host
        writer.write(
            f"GET {probe.path} HTTP/1.1\r\nHost: {host}:{probe.port}\r\nConnection: close\r\n\r\n".encode()
        )
        line = await reader.readline()
        return int(line.split(b" ", 2)[1])
    finally:
        writer.close()


def ask_all(probes: Iterable[Probe]) -> list[int | None]:
    """The status of several endpoints, all asked at once."""

    async def gather() -> list[int | None]:
        return await asyncio.gather(*(ask(probe) for probe in probes))

    return asyncio.run(gather())
