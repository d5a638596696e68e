"""The events of a streamed Anthropic message, put together again."""

from collections.abc import Sequence

from heli.providers.framing import Event
from heli.providers.json_values import Json, Unreadable, as_count, as_dict, as_list, as_text, decode_json

_GROWING = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
"""`{type of delta: its field}` for deltas that continue each other."""


def assemble_message(events: Sequence[Event]) -> Json:
    """The events as one message. An `error` event inside of the stream becomes its `error` field."""
    message: dict[str, Json] = {}
    blocks: dict[int, dict[str, Json]] = {}
    growing: dict[tuple[int, str], list[Json]] = {}
    for event in events:
        data = as_dict(event.data)
        match data.get("type"):
            case "content_block_delta":
                _take_delta(as_dict(data.get("delta")), _index(data), blocks, growing)
            case "content_block_start":
                blocks[_index(data)] = dict(as_dict(data.get("content_block")))
            case "message_start":
                message.update(as_dict(data.get("message")))
            case "message_delta":
                _take_message_delta(message, data)
            case "error":
                message.setdefault("type", "error")
                message["error"] = data.get("error")
    if not message and not blocks:
        return None
    for (index, name), pieces in growing.items():
        _set_grown(blocks.setdefault(index, {}), name, pieces)
    if message.get("type") != "error" or blocks:
        message["content"] = [blocks[index] for index in sorted(blocks)]
    return message


def _index(data: dict[str, Json]) -> int:
    return as_count(data.get("index")) or 0


def _take_delta(
    delta: dict[str, Json],
    index: int,
    blocks: dict[int, dict[str, Json]],
    growing: dict[tuple[int, str], list[Json]],
) -> None:
    kind = delta.get("type")
    name = _GROWING.get(kind) if isinstance(kind, str) else None
    if name:
        growing.setdefault((index, name), []).append(as_text(delta.get(name)))
    elif kind == "citations_delta":
        growing.setdefault((index, "citations"), []).append(delta.get("citation"))
    else:  # a signature, or what is new
        block = blocks.setdefault(index, {})
        block.update({key: value for key, value in delta.items() if key != "type"})


def _set_grown(block: dict[str, Json], name: str, pieces: list[Json]) -> None:
    if name == "citations":
        block[name] = [*as_list(block.get(name)), *pieces]
        return
    text = "".join(pieces)
    if name != "partial_json":
        block.setdefault("type", name)
        block[name] = as_text(block.get(name)) + text
        return
    block.setdefault("type", "tool_use")
    value = decode_json(text.encode()) if text else {}
    if isinstance(value, Unreadable):
        block["partial_json"] = text  # the stream broke off in the middle of the arguments
    else:
        block["input"] = value


def _take_message_delta(message: dict[str, Json], data: dict[str, Json]) -> None:
    message.update(as_dict(data.get("delta")))
    if "context_management" in data:
        message["context_management"] = data["context_management"]
    usage = dict(as_dict(message.get("usage")))
    usage.update({name: value for name, value in as_dict(data.get("usage")).items() if value is not None})
    if usage:
        message["usage"] = usage
