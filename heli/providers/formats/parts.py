"""Pieces of messages that several formats share."""

from heli.providers.json_values import Json, as_dict, as_list, as_text, encode_json
from heli.schema.conversation import Part, PartKind, ToolDefinition

_SHOWN_OTHER = 2000


def text_part(text: str) -> Part:
    return Part(kind=PartKind.TEXT, text=text)


def thinking_part(text: str) -> Part:
    return Part(kind=PartKind.THINKING, text=text)


def other_part(value: Json) -> Part:
    """What heli has no word for: shown as JSON, cut where it is long."""
    name = as_text(as_dict(value).get("type"))
    return Part(kind=PartKind.OTHER, name=name, text=encode_json(value)[:_SHOWN_OTHER])


def tool_call_part(name: Json, arguments: Json, call_id: Json = "") -> Part:
    """`arguments` is JSON text or the value itself."""
    text = arguments if isinstance(arguments, str) else "" if arguments is None else encode_json(arguments)
    return Part(kind=PartKind.TOOL_CALL, name=as_text(name), text=text, call_id=as_text(call_id))


def tool_result_part(content: Json, call_id: Json = "", name: Json = "", is_error: bool = False) -> Part:
    return Part(
        kind=PartKind.TOOL_RESULT,
        text=flat_text(content),
        call_id=as_text(call_id),
        name=as_text(name),
        is_error=is_error,
    )


def media_part(
    kind: PartKind, url: Json = "", data: Json = "", media_type: Json = "", name: Json = ""
) -> Part:
    """An image, audio or file; of inline data only the size and type are kept."""
    link = as_text(url)
    inline = as_text(data)
    if link.startswith("data:"):
        head, _, inline = link.partition(",")
        media_type = media_type or head[5:].split(";", 1)[0]
        link = ""
    return Part(
        kind=kind,
        url=link,
        name=as_text(name),
        media_type=as_text(media_type),
        data_bytes=len(inline) or None,
    )


def flat_text(content: Json) -> str:
    """A tool's result as text: its text blocks joined, anything else as JSON."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = [
            each["text"] for each in content if isinstance(each, dict) and isinstance(each.get("text"), str)
        ]
        if texts:
            return "\n".join(texts)
    return "" if content is None else encode_json(content)


def tool_definitions(tools: Json) -> list[ToolDefinition]:
    """OpenAI's two shapes and Anthropic's: `{function: {name, …}}`, `{name, …}`, `{name, input_schema}`."""
    found = []
    for each in as_list(tools):
        tool = as_dict(each)
        function = as_dict(tool.get("function")) or tool
        name = as_text(function.get("name")) or as_text(tool.get("type"))
        if name:
            parameters = function.get("parameters", function.get("input_schema"))
            description = as_text(function.get("description"))
            found.append(ToolDefinition(name=name, description=description, parameters=parameters))
    return found
