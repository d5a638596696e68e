"""Every format's messages become the same neutral conversation."""

import pytest

from heli.providers import read_conversation
from heli.schema.conversation import PartKind
from tests.providers.exchanges import an_exchange, read_recording, recorded

TOOL = {"name": "look", "description": "Looks", "parameters": {"type": "object"}}
PNG = "iVBORw0KGgo="

FORMATS = {
    "openai_chat": (
        "https://api.openai.com",
        "/v1/chat/completions",
        {
            "tools": [{"type": "function", "function": TOOL}],
            "messages": [
                {"role": "system", "content": "Be brief."},
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "What is it?"},
                        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
                    ],
                },
                {
                    "role": "assistant",
                    "reasoning_content": "Hm",
                    "tool_calls": [{"id": "1", "function": {"name": "look", "arguments": '{"at":1}'}}],
                },
                {"role": "tool", "tool_call_id": "1", "content": "a cat"},
            ],
        },
        {"choices": [{"message": {"role": "assistant", "content": "A cat."}}]},
    ),
    "openai_responses": (
        "https://api.openai.com",
        "/v1/responses",
        {
            "tools": [{"type": "function", **TOOL}],
            "instructions": "Be brief.",
            "input": [
                {
                    "role": "user",
                    "content": [
                        {"type": "input_text", "text": "What is it?"},
                        {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"},
                    ],
                },
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}]},
                {"type": "function_call", "call_id": "1", "name": "look", "arguments": '{"at":1}'},
                {"type": "function_call_output", "call_id": "1", "output": "a cat"},
            ],
        },
        {"output": [{"type": "message", "content": [{"type": "output_text", "text": "A cat."}]}]},
    ),
    "anthropic": (
        "https://api.anthropic.com",
        "/v1/messages",
        {
            "tools": [{"name": "look", "description": "Looks", "input_schema": {"type": "object"}}],
            "system": [{"type": "text", "text": "Be brief."}],
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "What is it?"},
                        {
                            "type": "image",
                            "source": {"type": "base64", "media_type": "image/png", "data": PNG},
                        },
                    ],
                },
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "Hm"},
                        {"type": "tool_use", "id": "1", "name": "look", "input": {"at": 1}},
                    ],
                },
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": "1", "content": "a cat"}],
                },
            ],
        },
        {"content": [{"type": "text", "text": "A cat."}]},
    ),
    "gemini": (
        "https://generativelanguage.googleapis.com",
        "/v1beta/models/m:generateContent",
        {
            "tools": [{"functionDeclarations": [TOOL]}],
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "contents": [
                {
                    "role": "user",
                    "parts": [
                        {"text": "What is it?"},
                        {"inlineData": {"mimeType": "image/png", "data": PNG}},
                    ],
                },
                {
                    "role": "model",
                    "parts": [
                        {"text": "Hm", "thought": True},
                        {"functionCall": {"id": "1", "name": "look", "args": {"at": 1}}},
                    ],
                },
                {
                    "role": "user",
                    "parts": [{"functionResponse": {"id": "1", "name": "look", "response": "a cat"}}],
                },
            ],
        },
        {"candidates": [{"content": {"role": "model", "parts": [{"text": "A cat."}]}}]},
    ),
    "ollama": (
        "http://localhost:11434",
        "/api/chat",
        {
            "tools": [{"type": "function", "function": TOOL}],
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "What is it?", "images": [PNG]},
                {
                    "role": "assistant",
                    "thinking": "Hm",
                    "content": "",
                    "tool_calls": [{"id": "1", "function": {"name": "look", "arguments": {"at": 1}}}],
                },
                {"role": "tool", "tool_name": "look", "content": "a cat"},
            ],
        },
        {"message": {"role": "assistant", "content": "A cat."}},
    ),
}


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_talk_reads_the_same_in_every_format(name: str) -> None:
    origin, path, request, reply = FORMATS[name]

    found = read_conversation(an_exchange(request, reply, origin=origin, path=path))

    parts = [*found.system, *(part for message in found.messages for part in message.parts)]
    assert [part.kind for part in parts] == [
        PartKind.TEXT,
        PartKind.TEXT,
        PartKind.IMAGE,
        PartKind.THINKING,
        PartKind.TOOL_CALL,
        PartKind.TOOL_RESULT,
    ]
    assert [part.text.strip('"') for part in parts] == [
        "Be brief.",
        "What is it?",
        "",
        "Hm",
        '{"at":1}',
        "a cat",
    ]
    assert parts[2].data_bytes == len(PNG)
    assert parts[4].name == "look"
    assert found.messages[-1].role == "tool"
    assert [(message.role, message.parts[0].text) for message in found.reply] == [("assistant", "A cat.")]
    assert [(tool.name, tool.description, tool.parameters) for tool in found.tools] == [
        ("look", "Looks", {"type": "object"})
    ]


def test_no_data_of_images_and_files_is_kept() -> None:
    for file in recorded():
        exchange, _ = read_recording(file)
        conversation = read_conversation(exchange)
        shown = str([*conversation.messages, *conversation.reply])
        assert PNG not in shown, file


def test_an_exchange_of_no_known_format_has_no_conversation() -> None:
    found = read_conversation(an_exchange({"x": 1}, {"y": 2}, path="/v1/files"))

    assert (found.messages, found.reply) == ([], [])
