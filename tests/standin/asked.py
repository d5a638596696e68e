"""What a request asks a model, and what the stand-in answers, before either has a provider's shape."""

import hashlib
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.standin.scenario import Scenario

CREATED = 1_760_000_000
"""Every reply says that it was made at this second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The last turn of a conversation."""

    model: str
    text: str = ""
    images: list[str] = field(default_factory=list)
    """A line for each, such as `image/png, 68 bytes, sha256 0f3a…`."""
    tools: dict[str, Any] = field(default_factory=dict)
    """`{name: JSON schema of its arguments}`."""
    tool_choice: str = ""
    is_tool_result: bool = False
    schema: Any = None
    """The JSON schema that the reply's text must fit."""
    stream: bool = False
    id: str = ""
    """Twelve hexadecimal digits of the request's hash."""
    input_tokens: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    text: str
    tool: str = ""
    """The tool that is called, with `arguments`; then there is no text."""
    arguments: dict[str, Any] = field(default_factory=dict)
    reasoning: str = ""
    pieces: list[str]
    """`text`, or the arguments as JSON, cut for a stream."""

    @property
    def output_tokens(self) -> int:
        return count_tokens("".join(self.pieces))

    @property
    def reasoning_tokens(self) -> int:
        return count_tokens(self.reasoning) if self.reasoning else 0


def count_tokens(text: str) -> int:
    return max(1, len(text) // 4)


def answer(asked: Asked, scenario: Scenario) -> Answer:
    calls = scenario.tools and asked.tools and not asked.is_tool_result and scenario.text is None
    if calls:
        tool = asked.tool_choice or next(iter(asked.tools))
        arguments = sample(asked.tools.get(tool) or {"type": "object"}, asked.text)
        text = json.dumps(arguments)
        return Answer(
            text="", tool=tool, arguments=arguments, reasoning=scenario.reasoning, pieces=_cut(text, scenario)
        )
    text = scenario.text if scenario.text is not None else _echo(asked)
    return Answer(text=text, reasoning=scenario.reasoning, pieces=_cut(text, scenario))


def _echo(asked: Asked) -> str:
    if asked.schema is not None:
        return json.dumps(sample(asked.schema, asked.text))
    said = "The tool said" if asked.is_tool_result else "You said"
    seen = "".join(f"\nI see {image}." for image in asked.images)
    return f"{said}: {asked.text}{seen}"


def _cut(text: str, scenario: Scenario) -> list[str]:
    """In `chunks` pieces, by default one for each word; some are empty when the text is short."""
    if scenario.chunks is None:
        words = text.split(" ")
        return [word if i == 0 else f" {word}" for i, word in enumerate(words)]
    count = max(1, scenario.chunks)
    marks = [len(text) * i // count for i in range(count + 1)]
    return [text[a:b] for a, b in itertools.pairwise(marks)]


def sample(schema: Any, words: str) -> Any:
    """A value that fits a JSON schema (the parts of it that tools use)."""
    if not isinstance(schema, dict):
        return words
    for chosen in ("const", "default"):
        if chosen in schema:
            return schema[chosen]
    if schema.get("enum"):
        return schema["enum"][0]
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return sample(options[0], words)
    match _type(schema):
        case "object":
            return {name: sample(part, words) for name, part in schema.get("properties", {}).items()}
        case "array":
            return [sample(schema.get("items", {}), words)]
        case "integer":
            return int(schema.get("minimum", 1))
        case "number":
            return float(schema.get("minimum", 1.5))
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return words[:80]


def _type(schema: dict[str, Any]) -> str:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    return str(kind[0] if isinstance(kind, list) else kind).lower()


def request_id(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:12]


def strings(value: Any) -> Iterator[str]:
    """Every string in a JSON value, to count its tokens."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from strings(part)


def describe_image(media_type: str, data: str) -> str:
    """`data` is base64 or a URL."""
    import base64
    import binascii

    try:
        raw = base64.b64decode(data, validate=True)
    except binascii.Error:
        return f"{media_type or 'image'} at {data}"
    return f"{media_type}, {len(raw)} bytes, sha256 {hashlib.sha256(raw).hexdigest()[:12]}"
