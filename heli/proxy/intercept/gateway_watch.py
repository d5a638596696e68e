"""Whether the gateway answers, so that calls can go without it when it does not."""

import asyncio
import contextlib
import logging

from heli.proxy.gateway.faults import strike

log = logging.getLogger(__name__)

EVERY_S = 0.5
PATIENCE_S = 1.0
"""A gateway that does not answer within this is taken for absent: it may be stopped, or be out of breath."""
_QUESTION = b"GET /healthcheck HTTP/1.1\r\nHost: heli\r\nConnection: close\r\n\r\n"


class GatewayWatch:
    """Asks the gateway how it is, again and again."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.is_up = False
        self.faults = 0
        """Times that asking failed, which is not the gateway's doing."""

    async def watch(self) -> None:
        """Until it is cancelled."""
        while True:
            try:
                strike("watch")
                await self.look()
            except Exception:
                self.faults += 1
                self.is_up = False
                log.debug("the gateway cannot be asked", exc_info=True)
            await asyncio.sleep(EVERY_S)

    async def look(self) -> None:
        is_up = await self._ask(_QUESTION, b" 200 ")
        if is_up != self.is_up:
            log.info("the gateway %s", "answers" if is_up else "does not answer: calls go without it")
        self.is_up = is_up

    async def accepts(self) -> bool:
        """Whether it takes a connection now: asked before a call is given to it on a new one."""
        self.is_up = self.is_up and await self._ask(b"", b"")
        return self.is_up

    async def _ask(self, question: bytes, wanted: bytes) -> bool:
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(PATIENCE_S):
                reader, writer = await asyncio.open_connection(self.host, self.port)
                if question:
                    writer.write(question)
                    return wanted in await reader.readline()
                return True
        except (OSError, TimeoutError):
            return False
        finally:
            if writer is not None:
                with contextlib.suppress(OSError):
                    writer.close()
