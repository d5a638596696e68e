"""Gemini: generateContent, streamGenerateContent as SSE and as a JSON array, countTokens, embedContent."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.standin.asked import Answer, Asked, answer, count_tokens, describe_image, strings
from tests.standin.replies import Call, Reply, json_reply, sse, sse_reply, to_json, with_usage
from tests.standin.scenario import Scenario

ERROR_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}
HEADERS = [("server", "scaffolding on HTTPServer2"), ("vary", "Origin")]


def error(scenario: Scenario) -> Reply:
    status = ERROR_STATUSES.get(scenario.status, "INTERNAL")
    message = scenario.text or f"The stand-in was asked for status {scenario.status}."
    body = {"error": {"code": scenario.status, "message": message, "status": status}}
    return json_reply(body, *HEADERS, status=scenario.status)


def read(call: Call) -> Asked:
    body = call.json()
    contents = body.get("contents") or [{"parts": []}]
    contents = [contents] if isinstance(contents, dict) else contents
    parts = contents[-1].get("parts") or []
    results = [part["functionResponse"] for part in parts if "functionResponse" in part]
    declared = [f for tool in body.get("tools") or [] for f in tool.get("functionDeclarations", [])]
    chosen = ((body.get("toolConfig") or {}).get("functionCallingConfig") or {}).get("allowedFunctionNames")
    config = body.get("generationConfig") or {}
    return Asked(
        model=call.path.rsplit("/models/", 1)[-1].split("#", 1)[0].rsplit(":", 1)[0],
        text=" ".join(strings(results) if results else (part["text"] for part in parts if "text" in part)),
        images=[
            describe_image(part["inlineData"]["mimeType"], part["inlineData"]["data"])
            for part in parts
            if "inlineData" in part
        ],
        tools={f["name"]: f.get("parameters") or f.get("parametersJsonSchema") for f in declared},
        tool_choice=(chosen or [""])[0],
        is_tool_result=bool(results),
        schema=config.get("responseSchema") or config.get("responseJsonSchema"),
        id=call.id,
        input_tokens=count_tokens("".join(strings([contents, body.get("systemInstruction")]))),
    )


def generate(call: Call, scenario: Scenario) -> Reply:
    if scenario.status >= 400:
        return error(scenario)
    asked = read(call)
    answered = answer(asked, scenario)
    part = _call_part(answered) if answered.tool else {"text": answered.text}
    return json_reply(
        _response(asked, answered, scenario, [*_thought(answered), part], is_last=True), *HEADERS
    )


def stream(call: Call, scenario: Scenario) -> Reply:
    if scenario.status >= 400:
        return error(scenario)
    asked = read(call)
    answered = answer(asked, scenario)
    parts = [_call_part(answered)] if answered.tool else [{"text": piece} for piece in answered.pieces]
    all_parts = [*_thought(answered), *parts]
    responses = [
        _response(asked, answered, scenario, [part], is_last=number == len(all_parts))
        for number, part in enumerate(all_parts, 1)
    ]
    if parse_qs(urlsplit(call.target).query).get("alt") == ["sse"]:
        return sse_reply([sse(response).replace(b"\n", b"\r\n") for response in responses], *HEADERS)
    pieces = [(b"[" if i == 0 else b",\r\n") + to_json(value) for i, value in enumerate(responses)]
    headers = [("content-type", "application/json; charset=UTF-8"), *HEADERS]
    return Reply(headers=headers, events=[*pieces, b"\n]\n"])


def _call_part(answered: Answer) -> dict[str, Any]:
    return {"functionCall": {"name": answered.tool, "args": answered.arguments}}


def _thought(answered: Answer) -> list[dict[str, Any]]:
    return [{"text": answered.reasoning, "thought": True}] if answered.reasoning else []


def _response(
    asked: Asked, answered: Answer, scenario: Scenario, parts: list[dict[str, Any]], *, is_last: bool
) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if is_last:
        candidate["finishReason"] = scenario.finish_reason or "STOP"
    told: dict[str, Any] = {"candidates": [candidate]}
    usage = {
        "promptTokenCount": asked.input_tokens,
        "candidatesTokenCount": answered.output_tokens,
        "totalTokenCount": asked.input_tokens + answered.output_tokens + answered.reasoning_tokens,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": asked.input_tokens}],
    }
    if answered.reasoning:
        usage["thoughtsTokenCount"] = answered.reasoning_tokens
    if (wanted := with_usage(usage, scenario)) is not None:
        told["usageMetadata"] = wanted
    return told | {"modelVersion": asked.model, "responseId": asked.id}


def count(call: Call, scenario: Scenario) -> Reply:
    if scenario.status >= 400:
        return error(scenario)
    return json_reply({"totalTokens": read(call).input_tokens}, *HEADERS)


def embedding(call: Call, scenario: Scenario) -> Reply:
    if scenario.status >= 400:
        return error(scenario)
    values = [((int(call.id, 16) >> i) % 1000) / 1000 for i in range(8)]
    return json_reply({"embedding": {"values": values}}, *HEADERS)
