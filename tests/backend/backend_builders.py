"""Exchanges with defaults, and batches of them as a shipper sends them. Times and ids count up."""

import itertools
import json
import time
import uuid
from typing import Any

import zstandard

from heli.schema.exchange import Exchange, Headers, Listener, Outcome, encode_exchanges

TOKEN = "a-token-for-tests"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/x-heli-exchanges"}
JSON = [(b"Content-Type", b"application/json")]

_counter = itertools.count(1)


def a_question(text: str = "Say hi", model: str = "gpt-4o-mini", **more: Any) -> bytes:
    return json.dumps({"model": model, "messages": [{"role": "user", "content": text}], **more}).encode()


def an_answer(
    text: str = "Hi!", model: str = "gpt-4o-mini-2024-07-18", tokens: tuple[int, int] = (9, 3)
) -> bytes:
    asked, said = tokens
    message = {"role": "assistant", "content": text}
    return json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "model": model,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said},
        }
    ).encode()


def an_exchange(*, headers: Headers = [], **fields: Any) -> Exchange:  # noqa: B006
    """A finished OpenAI chat call of a moment ago; each begins a millisecond after the one before."""
    number = next(_counter)
    defaults: dict[str, Any] = {
        "id": uuid.uuid4().bytes,
        "started_ns": time.time_ns() // 10**9 * 10**9 - 60 * 10**9 + number * 10**6,
        "listener": Listener.OPENAI,
        "outcome": Outcome.COMPLETE,
        "origin": "https://api.openai.com",
        "method": "POST",
        "path": "/v1/chat/completions",
        "request_headers": [*JSON, *headers],
        "request_body": a_question(),
        "response_status": 200,
        "response_headers": JSON,
        "response_body": an_answer(),
        "first_byte_us": 200_000,
        "end_us": 250_000,
    }
    known = defaults | fields
    known.setdefault("request_body_bytes", len(known["request_body"]))
    known.setdefault("response_body_bytes", len(known["response_body"]))
    return Exchange(**known)


def a_batch(*exchanges: Exchange) -> bytes:
    return zstandard.compress(encode_exchanges(list(exchanges)))
