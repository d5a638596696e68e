"""The asynchronous clients, and OpenAI's Realtime API over a WebSocket."""

import asyncio
import json
import uuid
from decimal import Decimal
from typing import Any

import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from websockets.asyncio.client import ClientConnection, connect

from heli.schema.exchange import Outcome
from heli.schema.request import Request
from heli.schema.usage import CostState
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
    assert (row.operation, row.request_model, row.request_preview) == (
        "realtime",
        "gpt-realtime",
        "Hello, heli!",
    )
    assert row.response_preview == "You said: Hello, heli!"
    assert row.cost_state is CostState.EXACT


async def _respond(
    url: str, headers: dict[str, str], questions: list[str]
) -> list[tuple[list[str], dict[str, Any] | None]]:
    """As Codex does it: a warm-up, then one question after the other. `(kinds of events, usage)` of each."""
    told = []
    async with connect(url, additional_headers=headers) as socket:
        asked: list[dict[str, Any]] = [{"input": questions[0], "generate": False}]
        asked += [{"input": question} for question in questions]
        for each in asked:
            await socket.send(json.dumps({"type": "response.create", "model": "gpt-5", **each}))
            events = [json.loads(await socket.recv())]
            while events[-1]["type"] != "response.completed":
                events.append(json.loads(await socket.recv()))
            told.append(([event["type"] for event in events], events[-1]["response"]["usage"]))
    return told


async def _ask(socket: ClientConnection, question: str) -> None:
    await socket.send(json.dumps({"type": "response.create", "model": "gpt-5", "input": question}))
    while json.loads(await socket.recv())["type"] != "response.completed":
        pass


async def _ask_and_look(heli: RunningHeli, url: str, headers: dict[str, str], request_id: str) -> Request:
    """What the log tells of a first response while its connection is open; then there is a second one."""
    async with connect(url, additional_headers=headers) as socket:
        await _ask(socket, "early")
        row = await asyncio.to_thread(heli.logged, request_id, 40)
        await _ask(socket, "late")
        return row


def test_a_response_is_logged_while_its_connection_is_open(heli: RunningHeli) -> None:
    session, request_id = str(uuid.uuid4()), str(uuid.uuid4())
    headers = {
        "x-standin": json.dumps({"deflate": "takeover", "interval_ms": 3}),
        "Helicone-Session-Id": session,
        "Helicone-Request-Id": request_id,
    }
    url = f"{heli.openai}/v1/responses".replace("http", "ws")

    early = asyncio.run(_ask_and_look(heli, url, headers, request_id))

    assert (early.request_preview, early.outcome) == ("early", Outcome.COMPLETE)
    rows = heli.logged_in(f"session:{session}", 2)
    assert [row.request_preview for row in rows] == ["early", "late"]
    assert rows[0] == early


@pytest.mark.parametrize("deflate", ["", "takeover", "fresh"])
def test_each_response_on_a_websocket_is_a_request_with_its_own_usage_and_cost(
    heli: RunningHeli, standin: StandIn, deflate: str
) -> None:
    session = str(uuid.uuid4())
    headers = {
        "x-standin": json.dumps({"deflate": deflate, "interval_ms": 3}),
        "originator": "codex_exec",
        "session-id": session,
        "thread-id": session,
        "x-codex-turn-metadata": json.dumps({"session_id": session, "thread_id": session}),
    }
    questions = ["one", "one and two", "one and two and three"]
    expected = asyncio.run(_respond(f"{standin.url}/v1/responses".replace("http", "ws"), headers, questions))
    request_id = str(uuid.uuid4())
    through = f"{heli.openai}/v1/responses".replace("http", "ws")

    told = asyncio.run(_respond(through, headers | {"Helicone-Request-Id": request_id}, questions))

    assert told == expected
    rows = heli.logged_in(f"session:{session}", 4)
    assert [row.operation for row in rows] == ["warm_up", "response", "response", "response"]
    assert [row.request_preview for row in rows[1:]] == questions
    assert [row.response_preview for row in rows[1:]] == [f"You said: {text}" for text in questions]
    for row, (_, usage) in zip(rows, told, strict=True):
        assert usage is not None
        assert (row.usage.total_input_tokens or 0) == usage["input_tokens"]
        assert (row.usage.total_output_tokens or 0) == usage["output_tokens"]
        price = usage["input_tokens"] * Decimal("1.25") + usage["output_tokens"] * 10
        assert row.cost_usd == (0 if row.operation == "warm_up" else price / 10**6)
        assert (row.agent_program, row.session_source, row.interpret_error) == ("codex", "agent", "")
    starts = [row.created_at for row in rows]
    assert starts == sorted(starts)
    assert all(row.time_to_first_token_ms is not None and row.duration_ms for row in rows[1:])
    spent = heli.client.costs([], f"session:{session}").total
    assert (spent.requests, spent.cost_usd) == (3, sum((row.cost_usd or 0 for row in rows), Decimal(0)))
    shown = heli.command("show", str(rows[2].id), "--no-pager").stdout
    assert "one and two" in shown
    assert "You said: one and two" in shown
    raw = heli.command("show", str(rows[2].id), "--raw", "--no-pager").stdout
    assert "→ " in raw
    assert '"type": "response.create"' in raw
    assert "response.completed" in raw
    assert "three" not in raw
