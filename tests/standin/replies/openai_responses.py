"""OpenAI Responses: the object, and the typed events of its stream (also sent over WebSocket)."""

from typing import Any

from tests.standin.asked import CREATED, Answer, Asked, answer, count_tokens, strings
from tests.standin.replies import Call, Reply, bare_model, json_reply, sse, sse_reply, with_usage
from tests.standin.replies.openai import _image, error, reply_headers
from tests.standin.scenario import Scenario

type Event = dict[str, Any]


def read(call: Call, body: Event) -> Asked:
    given = body.get("input") or ""
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    last = items[-1]
    content = last.get("output", last.get("content", ""))
    parts = [{"type": "input_text", "text": content}] if isinstance(content, str) else content
    functions = [tool for tool in body.get("tools") or [] if tool.get("type") == "function"]
    choice = body.get("tool_choice")
    shape = (body.get("text") or {}).get("format") or {}
    return Asked(
        model=bare_model(body.get("model")),
        text=" ".join(part.get("text", "") for part in parts if part.get("type", "").endswith("text")),
        images=[_image(part["image_url"]) for part in parts if part.get("type") == "input_image"],
        tools={} if choice == "none" else {tool["name"]: tool.get("parameters") for tool in functions},
        tool_choice=choice.get("name", "") if isinstance(choice, dict) else "",
        is_tool_result=last.get("type") == "function_call_output",
        schema=shape.get("schema") if shape.get("type") == "json_schema" else None,
        stream=bool(body.get("stream")),
        id=call.id,
        input_tokens=count_tokens("".join(strings(items)) + str(body.get("instructions") or "")),
    )


def response(call: Call, scenario: Scenario) -> Reply:
    if scenario.status >= 400:
        return error(call, scenario)
    body = call.json()
    asked = read(call, body)
    events = events_of(asked, body, scenario)
    if asked.stream:
        return sse_reply([sse(event, event["type"]) for event in events], *reply_headers(call))
    return json_reply(events[-1]["response"], *reply_headers(call))


def events_of(asked: Asked, body: Event, scenario: Scenario) -> list[Event]:
    """The whole stream; the last event holds the whole response."""
    answered = answer(asked, scenario)
    begun = _object(asked, body, "in_progress", [], None)
    events: list[Event] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    item = _call_events(asked, answered, events) if answered.tool else _text_events(asked, answered, events)
    is_cut = scenario.finish_reason in ("length", "max_output_tokens")
    status = "incomplete" if is_cut else "completed"
    usage = with_usage(_usage(asked, answered), scenario)
    done = _object(asked, body, status, [item], usage)
    if is_cut:
        done["incomplete_details"] = {"reason": "max_output_tokens"}
    events.append({"type": f"response.{status}", "response": done})
    return [event | {"sequence_number": number} for number, event in enumerate(events)]


def warm_up_of(asked: Asked, body: Event) -> list[Event]:
    """What comes of `generate: false` on a WebSocket: a response without output, and nothing to pay."""
    begun = _object(asked, body, "in_progress", [], None)
    nothing = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    done = _object(asked, body, "completed", [], nothing)
    return [
        {"type": "response.created", "response": begun, "sequence_number": 0},
        {"type": "response.completed", "response": done, "sequence_number": 1},
    ]


def _usage(asked: Asked, answered: Answer) -> Event:
    output = answered.output_tokens + answered.reasoning_tokens
    return {
        "input_tokens": asked.input_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": answered.reasoning_tokens},
        "total_tokens": asked.input_tokens + output,
    }


def _object(asked: Asked, body: Event, status: str, output: list[Event], usage: Event | None) -> Event:
    return {
        "id": f"resp_{asked.id}",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "model": asked.model,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": body.get("previous_response_id"),
        "service_tier": "default",
        "temperature": 1.0,
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools", []),
        "top_p": 1.0,
        "usage": usage,
        "metadata": {},
    }


def _text_events(asked: Asked, answered: Answer, events: list[Event]) -> Event:
    place: Event = {"item_id": f"msg_{asked.id}", "output_index": 0, "content_index": 0}
    item: Event = {"id": f"msg_{asked.id}", "type": "message", "role": "assistant"}
    part: Event = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    whole = part | {"text": answered.text}
    done = item | {"status": "completed", "content": [whole]}
    events += [
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": item | {"status": "in_progress", "content": []},
        },
        {"type": "response.content_part.added", **place, "part": part},
        *(
            {"type": "response.output_text.delta", **place, "delta": piece, "logprobs": []}
            for piece in answered.pieces
        ),
        {"type": "response.output_text.done", **place, "text": answered.text, "logprobs": []},
        {"type": "response.content_part.done", **place, "part": whole},
        {"type": "response.output_item.done", "output_index": 0, "item": done},
    ]
    return done


def _call_events(asked: Asked, answered: Answer, events: list[Event]) -> Event:
    place: Event = {"item_id": f"fc_{asked.id}", "output_index": 0}
    item: Event = {
        "id": f"fc_{asked.id}",
        "type": "function_call",
        "status": "in_progress",
        "call_id": f"call_{asked.id}",
        "name": answered.tool,
        "arguments": "",
    }
    arguments = "".join(answered.pieces)
    done = item | {"status": "completed", "arguments": arguments}
    events += [
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        *(
            {"type": "response.function_call_arguments.delta", **place, "delta": piece}
            for piece in answered.pieces
        ),
        {
            "type": "response.function_call_arguments.done",
            **place,
            "name": answered.tool,
            "arguments": arguments,
        },
        {"type": "response.output_item.done", "output_index": 0, "item": done},
    ]
    return done
