"""The stand-in as the official SDKs and plain sockets see it: what the other tests rely on."""

import hashlib
import http.client
import json
import socket
import zlib
from typing import Any

import anthropic
import brotli
import httpx
import openai
import pytest
import zstandard
from google import genai
from google.genai import types
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

from tests.standin import StandIn, pattern_sha256, start_standin

WEATHER = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def ask(standin: StandIn, scenario: dict[str, Any], **body: Any) -> httpx.Response:
    headers = {"x-standin": json.dumps(scenario)}
    return httpx.post(f"{standin.url}/v1/chat/completions", json={"model": "gpt-4o"} | body, headers=headers)


@pytest.fixture
def gpt(standin: StandIn) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{standin.url}/v1", api_key="k", max_retries=0)


@pytest.fixture
def claude(standin: StandIn) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=standin.url, api_key="k", max_retries=0)


@pytest.fixture
def gemini(standin: StandIn) -> genai.Client:
    return genai.Client(api_key="k", http_options=types.HttpOptions(base_url=standin.url))


def test_chat_repeats_the_question_and_counts_tokens(gpt: openai.OpenAI) -> None:
    reply = gpt.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Hello there"}])
    assert reply.choices[0].message.content == "You said: Hello there"
    assert reply.usage is not None
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


def test_a_streamed_chat_says_the_same_and_ends_with_usage_when_asked(gpt: openai.OpenAI) -> None:
    chunks = list(
        gpt.chat.completions.create(
            model="gpt-4o",
            messages=[{"role": "user", "content": "Hello there"}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "You said: Hello there"
    assert chunks[-1].usage is not None


def test_tools_are_called_with_arguments_that_fit(gpt: openai.OpenAI) -> None:
    function = {"name": "weather", "parameters": WEATHER}
    reply = gpt.chat.completions.create(
        model="gpt-4o",
        messages=[{"role": "user", "content": "Bern"}],
        tools=[{"type": "function", "function": function}],
    )
    calls = reply.choices[0].message.tool_calls
    assert calls is not None
    assert json.loads(calls[0].function.arguments) == {"city": "Bern", "days": 1}


def test_responses_stream_their_typed_events(gpt: openai.OpenAI) -> None:
    with gpt.responses.stream(model="gpt-4o", input="Hello") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert final.output_text == "You said: Hello"


def test_embeddings_come_one_for_each_input(gpt: openai.OpenAI) -> None:
    assert len(gpt.embeddings.create(model="text-embedding-3-small", input=["a", "b"]).data) == 2


def test_claude_sees_images_and_thinks_when_told(claude: anthropic.Anthropic) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    reply = claude.messages.create(
        model='claude-sonnet-4-5#{"reasoning": "A picture."}',
        max_tokens=100,
        messages=[{"role": "user", "content": [{"type": "image", "source": source}]}],
    )
    assert [block.type for block in reply.content] == ["thinking", "text"]
    assert "I see image/png, 70 bytes" in reply.content[1].text
    assert reply.model == "claude-sonnet-4-5"


def test_claude_streams_tool_calls(claude: anthropic.Anthropic) -> None:
    with claude.messages.stream(
        model="claude-standin",
        max_tokens=100,
        messages=[{"role": "user", "content": "Bern"}],
        tools=[{"name": "weather", "input_schema": WEATHER}],
    ) as stream:
        message = stream.get_final_message()
    assert message.stop_reason == "tool_use"
    assert message.content[0].input == {"city": "Bern", "days": 1}


def test_claude_counts_tokens(claude: anthropic.Anthropic) -> None:
    told = claude.messages.count_tokens(model="m", messages=[{"role": "user", "content": "x" * 400}])
    assert told.input_tokens == 101


def test_gemini_answers_and_streams(gemini: genai.Client) -> None:
    whole = gemini.models.generate_content(model="gemini-2.5-flash", contents="Hello there")
    pieces = gemini.models.generate_content_stream(model="gemini-2.5-flash", contents="Hello there")
    assert whole.text == "".join(piece.text or "" for piece in pieces) == "You said: Hello there"


def test_gemini_without_sse_streams_one_json_array(standin: StandIn) -> None:
    path = "/v1beta/models/gemini-2.5-flash:streamGenerateContent"
    told = httpx.post(standin.url + path, json={"contents": [{"parts": [{"text": "Hello there"}]}]}).json()
    texts = [one["candidates"][0]["content"]["parts"][0]["text"] for one in told]
    assert "".join(texts) == "You said: Hello there"


def test_ollama_streams_lines(standin: StandIn) -> None:
    body = {"model": "llama3", "messages": [{"role": "user", "content": "Hello"}]}
    lines = httpx.post(f"{standin.url}/api/chat", json=body).text.splitlines()
    told = [json.loads(line) for line in lines]
    assert "".join(line["message"]["content"] for line in told) == "You said: Hello"
    assert told[-1]["eval_count"] > 0


@pytest.mark.parametrize("status", [401, 429, 500])
def test_an_sdk_raises_the_error_that_a_prompt_asks_for(gpt: openai.OpenAI, status: int) -> None:
    prompt = f'Please fail [[standin {{"status": {status}, "retry_after": 7}}]]'
    with pytest.raises(openai.APIStatusError) as caught:
        gpt.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": prompt}])
    assert caught.value.status_code == status
    assert caught.value.response.headers["retry-after"] == "7"


def test_usage_is_laid_over_or_left_out(standin: StandIn) -> None:
    assert ask(standin, {"usage": {"prompt_tokens": 7}}).json()["usage"]["prompt_tokens"] == 7
    assert "usage" not in ask(standin, {"usage": None}).json()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_bodies_are_encoded(standin: StandIn, encoding: str, stream: bool) -> None:
    headers = {"x-standin": json.dumps({"encoding": encoding}), "accept-encoding": "identity"}
    body = {"model": "m", "stream": stream, "messages": [{"role": "user", "content": "Grüezi"}]}
    with httpx.stream("POST", f"{standin.url}/v1/chat/completions", json=body, headers=headers) as reply:
        raw = b"".join(reply.iter_raw())
    decoders = {
        "br": brotli.decompress,
        "zstd": lambda data: zstandard.ZstdDecompressor().stream_reader(data).read(),
    }
    plain = decoders[encoding](raw) if encoding in decoders else zlib.decompress(raw, zlib.MAX_WBITS | 32)
    assert "Grüezi".encode() in plain


def test_a_dropped_stream_breaks_the_connection(standin: StandIn) -> None:
    with pytest.raises(httpx.TransportError):
        ask(standin, {"drop": "mid_sse", "chunks": 10}, stream=True)
    assert standin.journal()[0]["reply"] == "broken"


@pytest.mark.parametrize(
    "framing", ["wrong_length", "cut_chunk", "no_last_chunk", "bad_chunk", "garbage", "empty"]
)
def test_a_broken_framing_is_noticed_by_a_client(standin: StandIn, framing: str) -> None:
    with pytest.raises(httpx.TransportError):
        ask(standin, {"framing": framing})


@pytest.mark.parametrize("framing", ["length", "chunked", "close", "http10"])
def test_a_good_framing_is_read(standin: StandIn, framing: str) -> None:
    assert (
        ask(standin, {"framing": framing, "text": "fine"}).json()["choices"][0]["message"]["content"]
        == "fine"
    )


def test_big_bodies_pass_and_are_hashed(standin: StandIn) -> None:
    size = 5_000_000
    headers = {"x-standin": json.dumps({"body_bytes": size})}
    reply = httpx.post(f"{standin.url}/upload", content=b"u" * size, headers=headers)
    assert hashlib.sha256(reply.content).hexdigest() == pattern_sha256(size)
    entry = standin.journal()[0]
    assert (entry["body_bytes"], entry["body_sha256"]) == (size, hashlib.sha256(b"u" * size).hexdigest())


def test_a_script_is_played_byte_for_byte(standin: StandIn) -> None:
    standin.put_script(
        "odd",
        [{"write": b"HTTP/1.1 299 Odd\r\ncontent-"}, {"pause_ms": 5}, {"write": b"length: 2\r\n\r\nok"}],
    )
    reply = httpx.get(standin.url, headers={"x-standin": '{"script": "odd"}'})
    assert (reply.status_code, reply.reason_phrase, reply.text) == (299, "Odd", "ok")


def test_the_journal_keeps_the_head_byte_for_byte(standin: StandIn) -> None:
    head = b"POST /x HTTP/1.1\r\nHost: h\r\nX-OdD:  two  \r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", standin.port)) as plain:
        plain.sendall(head + b"3\r\nabc\r\n2\r\nde\r\n0\r\nt: v\r\n\r\n")
        assert plain.recv(100).startswith(b"HTTP/1.1 200")
    entry = standin.journal()[0]
    assert entry["head"].encode() == head
    assert (entry["chunk_sizes"], entry["trailers"], entry["body_bytes"]) == ([3, 2], "t: v\r\n", 5)


def test_the_journal_tells_when_the_caller_left_early(standin: StandIn) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", standin.port)
    connection.request("POST", "/v1/chat/completions", "{}", {"x-standin": '{"stall_s": 30}'})
    connection.close()
    entry = standin.wait_for(lambda s: next((e for e in s.journal() if e["reply"] == "peer_left"), None))
    assert entry is not None
    assert entry["peer_left_at"] >= entry["started_at"]
    assert standin.stats()["in_flight"] == 0


def test_a_websocket_echoes_and_pushes(standin: StandIn) -> None:
    headers = {"x-standin": '{"frames": 2, "frame_bytes": 70000}'}
    with connect(f"ws://127.0.0.1:{standin.port}/echo", additional_headers=headers, compression=None) as ws:
        assert [len(ws.recv()) for _ in range(2)] == [70_000, 70_000]
        ws.send("hello")
        assert ws.recv() == "hello"
        ws.ping().wait(5)
    assert [frame["opcode"] for frame in standin.journal()[0]["frames"]] == [1, 9, 8]


def test_a_realtime_session_answers(standin: StandIn) -> None:
    with connect(f"ws://127.0.0.1:{standin.port}/v1/realtime?model=gpt-realtime", compression=None) as ws:
        kinds = [json.loads(ws.recv())["type"]]
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]}
        ws.send(json.dumps({"type": "conversation.item.create", "item": item}))
        ws.send(json.dumps({"type": "response.create"}))
        while kinds[-1] != "response.done":
            event = json.loads(ws.recv())
            kinds.append(event["type"])
    assert kinds[:3] == ["session.created", "conversation.item.created", "response.created"]
    assert event["response"]["output"][0]["content"][0]["text"] == "You said: Hello"


def test_a_websocket_breaks_when_told(standin: StandIn) -> None:
    url = f"ws://127.0.0.1:{standin.port}/v1/responses"
    with connect(url, additional_headers={"x-standin": '{"drop": "mid_sse"}'}, compression=None) as ws:
        ws.send(json.dumps({"type": "response.create", "model": "gpt-4o", "input": "Hello"}))
        with pytest.raises(ConnectionClosedError):
            list(ws)


def test_a_bad_scenario_is_told(standin: StandIn) -> None:
    reply = ask(standin, {"stall": 3})
    assert reply.status_code == 400
    assert "stall" in reply.text


def test_the_fast_one_answers_json_and_streams() -> None:
    with start_standin(fast=True) as fast:
        plain = httpx.post(f"{fast.url}/v1/chat/completions", json={"model": "m"})
        stream = httpx.post(f"{fast.url}/v1/messages", json={"model": "m", "stream": True})
    assert plain.json()["object"] == "chat.completion"
    assert stream.text.rstrip().endswith('{"type":"message_stop"}')
