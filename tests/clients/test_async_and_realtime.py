"""The asynchronous clients, and OpenAI's Realtime API over a WebSocket."""

import asyncio
import json
import uuid
from typing import Any

from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from heli.schema.exchange import Outcome
from tests.clients.running_heli import RunningHeli
from tests.standin import StandIn


async def _tell_stories(base_url: str, count: int) -> list[str]:
    async with AsyncAnthropic(base_url=base_url, api_key="k", max_retries=0) as client:

        async def tell(number: int) -> str:
            messages: list[Any] = [{"role": "user", "content": f"story {number}"}]
            headers = {"x-standin": json.dumps({"interval_ms": 20})}
            async with client.messages.stream(
                model="claude-sonnet-4-6", max_tokens=100, messages=messages, extra_headers=headers
            ) as stream:
                return "".join([text async for text in stream.text_stream])

        return await asyncio.gather(*(tell(number) for number in range(count)))


def test_streams_at_the_same_time_do_not_mix(heli: RunningHeli) -> None:
    told = asyncio.run(_tell_stories(heli.anthropic, 30))
    assert told == [f"You said: story {number}" for number in range(30)]


async def _talk(base_url: str, headers: dict[str, str]) -> list[str]:
    async with AsyncOpenAI(base_url=base_url, api_key="sk-secret-of-the-user") as client:
        kinds: list[str] = []
        async with client.realtime.connect(model="gpt-realtime", extra_headers=headers) as connection:
            content: list[Any] = [{"type": "input_text", "text": "Hello, heli!"}]
            await connection.conversation.item.create(
                item={"type": "message", "role": "user", "content": content}
            )
            await connection.response.create()
            async for event in connection:
                kinds.append(event.type)
                if event.type == "response.done":
                    break
        return kinds


def test_a_realtime_session_passes_and_is_logged(heli: RunningHeli, standin: StandIn) -> None:
    expected = asyncio.run(_talk(f"{standin.url}/v1", {}))
    request_id = str(uuid.uuid4())
    assert asyncio.run(_talk(f"{heli.openai}/v1", {"Helicone-Request-Id": request_id})) == expected
    assert expected[-1] == "response.done"
    row = heli.logged(request_id)
    assert (row.status, row.outcome) == (101, Outcome.COMPLETE)
    assert row.path.startswith("/v1/realtime")
    exchange = heli.client.exchange(request_id)
    assert exchange.is_websocket
    assert "sk-secret-of-the-user" not in str(exchange)
