"""Ollama's native API: chat and generate, as one object or as newline-delimited JSON."""

from typing import Any

from tests.standin.asked import Answer, Asked, answer, count_tokens, describe_image, strings
from tests.standin.replies import Call, Reply, bare_model, json_reply, to_json, with_usage
from tests.standin.scenario import Scenario

CREATED_AT = "2025-10-09T08:53:20.000000Z"


def read(call: Call, body: dict[str, Any]) -> Asked:
    last = (body.get("messages") or [{"content": body.get("prompt", "")}])[-1]
    functions = [tool["function"] for tool in body.get("tools") or []]
    return Asked(
        model=bare_model(body.get("model")),
        text=last.get("content") or "",
        images=[describe_image("image", data) for data in last.get("images") or body.get("images") or []],
        tools={function["name"]: function.get("parameters") for function in functions},
        is_tool_result=last.get("role") == "tool",
        schema=body.get("format") if isinstance(body.get("format"), dict) else None,
        stream=body.get("stream", True),
        id=call.id,
        input_tokens=count_tokens("".join(strings(body.get("messages") or body.get("prompt", "")))),
    )


def chat(call: Call, scenario: Scenario) -> Reply:
    return _reply(call, scenario, is_chat=True)


def generate(call: Call, scenario: Scenario) -> Reply:
    return _reply(call, scenario, is_chat=False)


def _reply(call: Call, scenario: Scenario, *, is_chat: bool) -> Reply:
    if scenario.status >= 400:
        message = scenario.text or f"the stand-in was asked for status {scenario.status}"
        return json_reply({"error": message}, status=scenario.status)
    asked = read(call, call.json())
    answered = answer(asked, scenario)
    base = {"model": asked.model, "created_at": CREATED_AT}
    end = base | {"done": True, "done_reason": scenario.finish_reason or "stop"}
    end |= with_usage(_usage(asked, answered), scenario) or {}
    if not asked.stream:
        return json_reply(end | _said(answered, answered.text, is_chat=is_chat))
    pieces = [""] if answered.tool else answered.pieces
    lines = [base | _said(answered, piece, is_chat=is_chat) | {"done": False} for piece in pieces]
    blank = {"message": {"role": "assistant", "content": ""}} if is_chat else {"response": ""}
    return Reply(
        headers=[("content-type", "application/x-ndjson")],
        events=[to_json(line) + b"\n" for line in [*lines, end | blank]],
    )


def _said(answered: Answer, text: str, *, is_chat: bool) -> dict[str, Any]:
    if not is_chat:
        return {"response": text} | ({"thinking": answered.reasoning} if answered.reasoning else {})
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if answered.reasoning:
        message["thinking"] = answered.reasoning
    if answered.tool:
        message["tool_calls"] = [{"function": {"name": answered.tool, "arguments": answered.arguments}}]
    return {"message": message}


def _usage(asked: Asked, answered: Answer) -> dict[str, Any]:
    return {
        "total_duration": 500_000_000,
        "load_duration": 1_000_000,
        "prompt_eval_count": asked.input_tokens,
        "prompt_eval_duration": 100_000_000,
        "eval_count": answered.output_tokens,
        "eval_duration": 399_000_000,
    }
