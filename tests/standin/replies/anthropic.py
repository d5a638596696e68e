"""Anthropic: messages and count_tokens."""

from typing import Any

from tests.standin.asked import Answer, Asked, answer, count_tokens, describe_image, strings
from tests.standin.replies import Call, Reply, bare_model, json_reply, sse, sse_reply, with_usage
from tests.standin.scenario import Scenario

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
BLANKS: dict[str, dict[str, Any]] = {
    "thinking": {"thinking": "", "signature": ""},
    "tool_use": {"input": {}},
    "text": {"text": ""},
}


def reply_headers(call: Call) -> list[tuple[str, str]]:
    return [
        ("request-id", f"req_{call.id}"),
        ("anthropic-organization-id", "00000000-0000-4000-8000-000000000000"),
        ("anthropic-ratelimit-requests-limit", "4000"),
        ("anthropic-ratelimit-requests-remaining", "3999"),
    ]


def error(call: Call, scenario: Scenario) -> Reply:
    kind = ERROR_TYPES.get(scenario.status, "api_error")
    message = scenario.text or f"The stand-in was asked for status {scenario.status}."
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": f"req_{call.id}"}
    return json_reply(body, *reply_headers(call), status=scenario.status)


def read(call: Call, body: dict[str, Any]) -> Asked:
    messages = body.get("messages") or [{"role": "user", "content": ""}]
    content = messages[-1].get("content") or ""
    blocks: list[dict[str, Any]]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    results = [block for block in blocks if block.get("type") == "tool_result"]
    choice = body.get("tool_choice") or {}
    return Asked(
        model=bare_model(body.get("model")),
        text=" ".join(strings([r.get("content", "") for r in results]))
        if results
        else " ".join(block["text"] for block in blocks if block.get("type") == "text"),
        images=[_image(block["source"]) for block in blocks if block.get("type") == "image"],
        tools={}
        if choice.get("type") == "none"
        else {tool["name"]: tool.get("input_schema") for tool in body.get("tools") or [] if "name" in tool},
        tool_choice=choice.get("name", ""),
        is_tool_result=bool(results),
        schema=((body.get("output_config") or {}).get("format") or body.get("output_format") or {}).get(
            "schema"
        ),
        stream=bool(body.get("stream")),
        id=call.id,
        input_tokens=count_tokens("".join(strings([body.get("system", ""), messages]))),
    )


def _image(source: dict[str, Any]) -> str:
    return describe_image(source.get("media_type", "image"), source.get("data") or source.get("url") or "")


def message(call: Call, scenario: Scenario) -> Reply:
    if scenario.status >= 400:
        return error(call, scenario)
    asked = read(call, call.json())
    answered = answer(asked, scenario)
    usage = with_usage(
        {
            "input_tokens": asked.input_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            "output_tokens": answered.output_tokens + answered.reasoning_tokens,
            "service_tier": "standard",
        },
        scenario,
    )
    stop = scenario.finish_reason or ("tool_use" if answered.tool else "end_turn")
    base = {
        "id": f"msg_{asked.id}",
        "type": "message",
        "role": "assistant",
        "model": asked.model,
        "stop_sequence": None,
    }
    if asked.stream:
        return sse_reply(_events(base, asked, answered, stop, usage), *reply_headers(call))
    told = base | {"content": _blocks(asked, answered), "stop_reason": stop}
    return json_reply(told if usage is None else told | {"usage": usage}, *reply_headers(call))


def _blocks(asked: Asked, answered: Answer) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if answered.reasoning:
        blocks.append({"type": "thinking", "thinking": answered.reasoning, "signature": "c3RhbmQtaW4="})
    if answered.tool:
        name, arguments = answered.tool, answered.arguments
        blocks.append({"type": "tool_use", "id": f"toolu_{asked.id}", "name": name, "input": arguments})
    else:
        blocks.append({"type": "text", "text": answered.text})
    return blocks


def _events(
    base: dict[str, Any], asked: Asked, answered: Answer, stop: str, usage: dict[str, Any] | None
) -> list[bytes]:
    begun = base | {"content": [], "stop_reason": None}
    if usage is not None:
        begun["usage"] = usage | {"output_tokens": 1}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": begun}]
    for index, block in enumerate(_blocks(asked, answered)):
        blank = block | BLANKS[block["type"]]
        events.append({"type": "content_block_start", "index": index, "content_block": blank})
        if index == 0:
            events.append({"type": "ping"})
        deltas = _deltas(block, answered)
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    end: dict[str, Any] = {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None}}
    if usage is not None:
        end["usage"] = usage
    return [sse(event, event["type"]) for event in [*events, end, {"type": "message_stop"}]]


def _deltas(block: dict[str, Any], answered: Answer) -> list[dict[str, Any]]:
    match block["type"]:
        case "thinking":
            signature = {"type": "signature_delta", "signature": block["signature"]}
            return [{"type": "thinking_delta", "thinking": block["thinking"]}, signature]
        case "tool_use":
            return [{"type": "input_json_delta", "partial_json": piece} for piece in ("", *answered.pieces)]
        case _:
            return [{"type": "text_delta", "text": piece} for piece in answered.pieces]


def count(call: Call, scenario: Scenario) -> Reply:
    if scenario.status >= 400:
        return error(call, scenario)
    return json_reply({"input_tokens": read(call, call.json()).input_tokens}, *reply_headers(call))
