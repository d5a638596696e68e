"""Asking health endpoints whether a process is ready, over plain asyncio streams."""

import asyncio
from collections.abc import Iterable

import msgspec

from heli.cli.supervisor.services import Probe

ANSWER_S = 2.0
POLL_S = 0.05
PATIENT_AFTER_S = 10.0
PATIENT_POLL_S = 0.5
"""What has not started by then is asked less often, as that may take days."""
MOST_BYTES = 65_536


async def until_ready(probes: Iterable[Probe]) -> None:
    """Return when every endpoint has said 2xx once."""
    waiting = list(probes)
    clock = asyncio.get_running_loop().time
    patient_at = clock() + PATIENT_AFTER_S
    while waiting:
        answers = await asyncio.gather(*(is_ready(probe) for probe in waiting))
        waiting = [probe for probe, ready in zip(waiting, answers, strict=True) if not ready]
        if waiting:
            await asyncio.sleep(POLL_S if clock() < patient_at else PATIENT_POLL_S)


async def is_ready(probe: Probe) -> bool:
    """Whether the endpoint says 2xx at this moment."""
    status = await ask(probe)
    return status is not None and 200 <= status < 300


async def ask(probe: Probe) -> int | None:
    """The endpoint's HTTP status; `None` when it does not answer in HTTP."""
    answer = await _ask(probe)
    return answer.status if answer else None


async def why_not(probes: Iterable[Probe]) -> tuple[str, str]:
    """`(message, hint)` of the first endpoint that says why it is not ready; empty when none does."""
    for answer in await asyncio.gather(*(_ask(probe) for probe in probes)):
        if answer and not 200 <= answer.status < 300:
            try:
                detail = msgspec.json.decode(answer.body, type=_Refusal).error
            except msgspec.DecodeError:
                continue
            return detail.message, detail.hint
    return "", ""


class _Detail(msgspec.Struct):
    message: str
    hint: str = ""


class _Refusal(msgspec.Struct):
    error: _Detail


class _Answer(msgspec.Struct):
    status: int
    body: bytes


async def _ask(probe: Probe) -> _Answer | None:
    try:
        async with asyncio.timeout(ANSWER_S):
            return await _get(probe)
    except (OSError, ValueError, IndexError, TimeoutError, asyncio.LimitOverrunError):
        return None


async def _get(probe: Probe) -> _Answer:
    reader, writer = await asyncio.open_connection(probe.host, probe.port)
    try:
        host = f"[{probe.host}]" if ":" in probe.host else probe.host
        writer.write(
            f"GET {probe.path} HTTP/1.1\r\nHost: {host}:{probe.port}\r\nConnection: close\r\n\r\n".encode()
        )
        said = await _read_answer(reader)
        head, _, body = said.partition(b"\r\n\r\n")
        return _Answer(int(head.split(b" ", 2)[1]), body)
    finally:
        writer.close()


async def _read_answer(reader: asyncio.StreamReader) -> bytes:
    """To its end, which is that of the connection; a foreign program may go on for ever."""
    said = b""
    while len(said) < MOST_BYTES and (piece := await reader.read(MOST_BYTES)):
        said += piece
        if not 500 <= int(said.split(b" ", 2)[1]) < 600:  # Only these say why.
            break
    return said


def ask_all(probes: Iterable[Probe]) -> list[int | None]:
    """The status of several endpoints, all asked at once."""

    async def gather() -> list[int | None]:
        return await asyncio.gather(*(ask(probe) for probe in probes))

    return asyncio.run(gather())
