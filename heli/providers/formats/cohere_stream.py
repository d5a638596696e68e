"""The events of Cohere's streamed chats, put together again."""

from collections.abc import Sequence

from heli.providers.framing import Event
from heli.providers.json_values import Json, as_count, as_dict, as_list, as_text, field


def assemble_v1(events: Sequence[Event]) -> Json:
    """The reply that the last event holds whole; its text and tool calls where that one did not come."""
    reply: dict[str, Json] = {}
    texts: list[str] = []
    calls: list[Json] = []
    for event in events:
        data = as_dict(event.data)
        match data.get("event_type"):
            case "text-generation":
                texts.append(as_text(data.get("text")))
            case "tool-calls-generation":
                calls = as_list(data.get("tool_calls"))
            case "stream-start":
                reply["generation_id"] = data.get("generation_id")
            case "stream-end":
                reply.update(as_dict(data.get("response")))
                reply["finish_reason"] = data.get("finish_reason") or reply.get("finish_reason")
                if data.get("error"):
                    reply["error"] = data["error"]
    if texts and not reply.get("text"):
        reply["text"] = "".join(texts)
    if calls and not reply.get("tool_calls"):
        reply["tool_calls"] = calls
    return reply or None


class _Grown:
    """Content items or tool calls by their index, with the pieces that their texts came in."""

    def __init__(self) -> None:
        self.items: dict[int, dict[str, Json]] = {}
        self.pieces: dict[tuple[int, str], list[str]] = {}

    def start(self, index: int, item: dict[str, Json]) -> None:
        self.items[index] = dict(item)

    def add(self, index: int, name: str, text: Json) -> None:
        if isinstance(text, str):
            self.items.setdefault(index, {})
            self.pieces.setdefault((index, name), []).append(text)


def assemble_v2(events: Sequence[Event]) -> Json:
    """The events as one reply; an error becomes its `error`."""
    reply: dict[str, Json] = {}
    content, calls = _Grown(), _Grown()
    plan: list[str] = []
    citations: list[Json] = []
    for event in events:
        data = as_dict(event.data)
        index = as_count(data.get("index")) or 0
        message = as_dict(field(data, "delta", "message"))
        match data.get("type"):
            case "message-start":
                reply["id"] = data.get("id")
            case "content-start":
                content.start(index, as_dict(message.get("content")))
            case "content-delta":
                for name, text in as_dict(message.get("content")).items():
                    if name in ("text", "thinking"):
                        content.add(index, name, text)
            case "tool-plan-delta":
                plan.append(as_text(message.get("tool_plan")))
            case "tool-call-start":
                calls.start(index, as_dict(message.get("tool_calls")))
            case "tool-call-delta":
                calls.add(index, "arguments", field(message, "tool_calls", "function", "arguments"))
            case "citation-start":
                citations.append(message.get("citations"))
            case "message-end":
                _end(reply, as_dict(data.get("delta")), data)
            case "error":
                reply["error"] = data.get("error") or data.get("message")
    if not reply and not content.items and not calls.items and not plan:
        return None
    if reply.keys() == {"error"}:
        return reply
    reply["message"] = _message(content, calls, plan, citations)
    return reply


def _end(reply: dict[str, Json], delta: dict[str, Json], data: dict[str, Json]) -> None:
    reply["id"] = reply.get("id") or data.get("id")
    for name in ("finish_reason", "usage", "error"):
        if delta.get(name):
            reply[name] = delta[name]


def _message(content: _Grown, calls: _Grown, plan: list[str], citations: list[Json]) -> dict[str, Json]:
    for (index, name), pieces in content.pieces.items():
        item = content.items[index]
        item.setdefault("type", name)
        item[name] = as_text(item.get(name)) + "".join(pieces)
    for (index, _), pieces in calls.pieces.items():
        call = calls.items[index]
        function = dict(as_dict(call.get("function")))
        function["arguments"] = as_text(function.get("arguments")) + "".join(pieces)
        call["function"] = function
    message: dict[str, Json] = {"role": "assistant"}
    if content.items:
        message["content"] = [content.items[index] for index in sorted(content.items)]
    if plan:
        message["tool_plan"] = "".join(plan)
    if calls.items:
        message["tool_calls"] = [calls.items[index] for index in sorted(calls.items)]
    if citations:
        message["citations"] = citations
    return message
