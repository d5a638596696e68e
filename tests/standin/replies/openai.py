"""OpenAI: chat completions, completions, embeddings, models."""

import base64
import struct
from typing import Any

from tests.standin.asked import CREATED, Answer, Asked, answer, count_tokens, describe_image, strings
from tests.standin.replies import Call, Reply, bare_model, json_reply, sse, sse_reply, with_usage
from tests.standin.scenario import Scenario

ERROR_TYPES = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "unsupported_country_region_territory"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("rate_limit_exceeded", "rate_limit_exceeded"),
}


def reply_headers(call: Call) -> list[tuple[str, str]]:
    return [
        ("x-request-id", f"req_{call.id}"),
        ("openai-processing-ms", "12"),
        ("openai-version", "2020-10-01"),
        ("x-ratelimit-limit-requests", "10000"),
        ("x-ratelimit-remaining-requests", "9999"),
        ("x-ratelimit-remaining-tokens", "199000"),
    ]


def error(call: Call, scenario: Scenario) -> Reply:
    kind, code = ERROR_TYPES.get(scenario.status, ("server_error", None))
    message = scenario.text or f"The stand-in was asked for status {scenario.status}."
    body = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return json_reply(body, *reply_headers(call), status=scenario.status)


def read(call: Call, body: dict[str, Any]) -> Asked:
    messages = body.get("messages") or [{"role": "user", "content": body.get("prompt", "")}]
    last = messages[-1]
    parts = last.get("content") or ""
    if isinstance(parts, str) or not all(isinstance(part, dict) for part in parts):
        parts = [{"type": "text", "text": parts if isinstance(parts, str) else str(parts)}]
    functions = [tool["function"] for tool in body.get("tools") or [] if tool.get("type") == "function"]
    choice = body.get("tool_choice")
    shape = body.get("response_format") or {}
    return Asked(
        model=bare_model(body.get("model")),
        text=" ".join(part.get("text", "") for part in parts if part.get("type") == "text"),
        images=[_image(part["image_url"]["url"]) for part in parts if part.get("type") == "image_url"],
        tools={} if choice == "none" else {f["name"]: f.get("parameters") for f in functions},
        tool_choice=choice["function"]["name"] if isinstance(choice, dict) and "function" in choice else "",
        is_tool_result=last.get("role") == "tool",
        schema=shape.get("json_schema", {}).get("schema") if shape.get("type") == "json_schema" else None,
        stream=bool(body.get("stream")),
        id=call.id,
        input_tokens=count_tokens("".join(strings(messages))),
    )


def _image(url: str) -> str:
    if url.startswith("data:"):
        media_type, _, data = url.removeprefix("data:").partition(";base64,")
        return describe_image(media_type, data)
    return describe_image("image", url)


def usage_of(asked: Asked, answered: Answer, scenario: Scenario) -> dict[str, Any] | None:
    output = answered.output_tokens + answered.reasoning_tokens
    return with_usage(
        {
            "prompt_tokens": asked.input_tokens,
            "completion_tokens": output,
            "total_tokens": asked.input_tokens + output,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": answered.reasoning_tokens,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        scenario,
    )


def chat(call: Call, scenario: Scenario) -> Reply:
    if scenario.status >= 400:
        return error(call, scenario)
    body = call.json()
    asked = read(call, body)
    answered = answer(asked, scenario)
    finish = scenario.finish_reason or ("tool_calls" if answered.tool else "stop")
    base = {
        "id": f"chatcmpl-{asked.id}",
        "created": CREATED,
        "model": asked.model,
        "service_tier": "default",
        "system_fingerprint": "fp_standin",
    }
    usage = usage_of(asked, answered, scenario)
    if asked.stream:
        wants_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        return sse_reply(_chunks(base, asked, answered, finish, usage, wants_usage), *reply_headers(call))
    message: dict[str, Any] = {"role": "assistant", "content": answered.text or None, "refusal": None}
    if answered.reasoning:
        message["reasoning_content"] = answered.reasoning
    if answered.tool:
        message["tool_calls"] = [_tool_call(asked, answered.tool, "".join(answered.pieces))]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    told = {**base, "object": "chat.completion", "choices": [choice]}
    return json_reply(told if usage is None else told | {"usage": usage}, *reply_headers(call))


def _tool_call(asked: Asked, name: str, arguments: str) -> dict[str, Any]:
    return {
        "id": f"call_{asked.id}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def _chunks(
    base: dict[str, Any],
    asked: Asked,
    answered: Answer,
    finish: str,
    usage: dict[str, Any] | None,
    wants_usage: bool,
) -> list[bytes]:
    extra: dict[str, Any] = {"usage": None} if wants_usage else {}

    def chunk(delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return sse({**base, "object": "chat.completion.chunk", "choices": [choice], **extra})

    events = [chunk({"role": "assistant", "content": None if answered.tool else "", "refusal": None})]
    if answered.reasoning:
        events.append(chunk({"reasoning_content": answered.reasoning}))
    if answered.tool:
        events.append(chunk({"tool_calls": [{"index": 0, **_tool_call(asked, answered.tool, "")}]}))
        deltas = [{"index": 0, "function": {"arguments": piece}} for piece in answered.pieces]
        events += [chunk({"tool_calls": [delta]}) for delta in deltas]
    else:
        events += [chunk({"content": piece}) for piece in answered.pieces]
    events.append(chunk({}, finish))
    if wants_usage and usage is not None:
        events.append(sse({**base, "object": "chat.completion.chunk", "choices": [], "usage": usage}))
    return [*events, sse(b"[DONE]")]


def completion(call: Call, scenario: Scenario) -> Reply:
    if scenario.status >= 400:
        return error(call, scenario)
    asked = read(call, call.json())
    answered = answer(asked, scenario)
    base = {
        "id": f"cmpl-{asked.id}",
        "object": "text_completion",
        "created": CREATED,
        "model": asked.model,
    }

    def part(text: str, reason: str | None) -> dict[str, Any]:
        return base | {"choices": [{"text": text, "index": 0, "logprobs": None, "finish_reason": reason}]}

    if asked.stream:
        events = [sse(part(piece, None)) for piece in answered.pieces]
        return sse_reply([*events, sse(part("", "stop")), sse(b"[DONE]")], *reply_headers(call))
    usage = usage_of(asked, answered, scenario)
    told = part(answered.text, scenario.finish_reason or "stop")
    return json_reply(told if usage is None else told | {"usage": usage}, *reply_headers(call))


def embedding(call: Call, scenario: Scenario) -> Reply:
    if scenario.status >= 400:
        return error(call, scenario)
    body = call.json()
    given = body.get("input", "")
    inputs = given if isinstance(given, list) and not all(isinstance(x, int) for x in given) else [given]
    vector = [
        round((int(call.id, 16) >> i) % 1000 / 1000 - 0.5, 3) for i in range(int(body.get("dimensions", 8)))
    ]
    as_base64 = body.get("encoding_format") == "base64"
    told: Any = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode() if as_base64 else vector
    count = count_tokens("".join(strings(inputs)))
    usage = with_usage({"prompt_tokens": count, "total_tokens": count}, scenario)
    return json_reply(
        {
            "object": "list",
            "data": [{"object": "embedding", "index": i, "embedding": told} for i in range(len(inputs))],
            "model": bare_model(body.get("model")),
        }
        | ({} if usage is None else {"usage": usage}),
        *reply_headers(call),
    )


def models(call: Call, scenario: Scenario) -> Reply:
    if scenario.status >= 400:
        return error(call, scenario)
    names = ("gpt-4o", "gpt-4o-mini", "o4-mini")
    data = [{"id": name, "object": "model", "created": CREATED, "owned_by": "standin"} for name in names]
    return json_reply({"object": "list", "data": data}, *reply_headers(call))
