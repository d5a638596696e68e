"""Real programs, told by nothing but their environment, go through the interceptor and are recorded."""

import json
import subprocess
import sys

import pytest

from heli.providers.interpretation import interpret
from heli.providers.pricing.price_book import PriceBook
from heli.schema.exchange import Exchange, Listener, Outcome
from tests.proxy.intercept.rig import Rig, asked
from tests.standin import StandIn

OPENAI = """
import openai
client = openai.OpenAI(default_headers={"x-case": "CASE"})
reply = client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "hi"}])
print(reply.choices[0].message.content)
"""
OPENAI_STREAM = """
import openai
client = openai.OpenAI(default_headers={"x-case": "CASE"})
stream = client.chat.completions.create(
    model="gpt-4o-mini", messages=[{"role": "user", "content": "hi"}], stream=True,
    stream_options={"include_usage": True})
print("".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices))
"""
OPENAI_ASYNC = """
import asyncio, openai
async def main():
    client = openai.AsyncOpenAI(default_headers={"x-case": "CASE"})
    reply = await client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "hi"}])
    print(reply.choices[0].message.content)
asyncio.run(main())
"""
ANTHROPIC = """
import anthropic
client = anthropic.Anthropic(default_headers={"x-case": "CASE"})
reply = client.messages.create(
    model="claude-sonnet-4-5", max_tokens=50, messages=[{"role": "user", "content": "hi"}])
print(reply.content[0].text)
"""
CALL = '{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}'
HTTPX = f"""
import httpx, json
with httpx.Client(HTTP2) as client:
    url = "https://api.openai.com/v1/chat/completions"
    reply = client.post(url, headers={{"x-case": "CASE"}}, json={CALL})
    print(reply.json()["choices"][0]["message"]["content"], end="")
"""
REQUESTS = f"""
import requests
reply = requests.post("https://api.openai.com/v1/chat/completions", headers={{"x-case": "CASE"}}, json={CALL})
print(reply.json()["choices"][0]["message"]["content"])
"""
AIOHTTP = f"""
import aiohttp, asyncio
async def main():
    async with aiohttp.ClientSession(trust_env=True) as session:
        url = "https://api.openai.com/v1/chat/completions"
        async with session.post(url, headers={{"x-case": "CASE"}}, json={CALL}) as reply:
            print((await reply.json())["choices"][0]["message"]["content"])
asyncio.run(main())
"""
PYTHON = {
    "openai": OPENAI,
    "openai-stream": OPENAI_STREAM,
    "openai-async": OPENAI_ASYNC,
    "anthropic": ANTHROPIC,
    "httpx": HTTPX.replace("HTTP2", ""),
    "httpx-http2": HTTPX.replace("HTTP2", "http2=True"),
    "requests": REQUESTS,
    "aiohttp": AIOHTTP,
}
NODE = """
const http = require('http'), https = require('https'), tls = require('tls');
const proxy = new URL(process.env.HTTPS_PROXY);
http.request({host: proxy.hostname, port: proxy.port, method: 'CONNECT', path: 'api.openai.com:443'})
  .on('connect', (answer, socket) => {
    const agent = new https.Agent();
    agent.createConnection = () => tls.connect(
      {socket, servername: 'api.openai.com', ALPNProtocols: ['h2', 'http/1.1']});
    const headers = {'x-case': 'CASE', 'content-type': 'application/json'};
    const url = 'https://api.openai.com/v1/chat/completions';
    const request = https.request(url, {method: 'POST', agent, headers}, reply => {
      let text = '';
      reply.on('data', piece => text += piece);
      reply.on('end', () => {
        console.log(JSON.parse(text).choices[0].message.content);
        socket.destroy();
      });
    });
    request.end(JSON.stringify({model: 'gpt-4o-mini', messages: [{role: 'user', content: 'hi'}]}));
  }).end();
"""


def recorded(rig: Rig, case: str) -> Exchange:
    from tests.rel.heli_under_test import wait_until

    return wait_until(lambda: rig.sink.by_header("x-case").get(case), 10, f"a record of {case}")


def values(exchange: Exchange, name: str) -> list[bytes]:
    return [value for key, value in exchange.request_headers if key.lower() == name.encode()]


@pytest.mark.parametrize("client", PYTHON)
def test_a_python_program_is_recorded_with_the_true_origin(rig: Rig, client: str) -> None:
    printed = rig.python(PYTHON[client].replace("CASE", client))

    assert printed.strip() == "You said: hi"
    exchange = recorded(rig, client)
    is_anthropic = client == "anthropic"
    assert exchange.origin == f"https://api.{'anthropic' if is_anthropic else 'openai'}.com"
    assert exchange.listener is Listener.INTERCEPT
    assert exchange.outcome is Outcome.COMPLETE
    usage = interpret(exchange, PriceBook()).usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == (1, 3)


def test_node_and_curl_are_recorded(rig: Rig) -> None:
    assert rig.node(NODE.replace("CASE", "node")).strip() == "You said: hi"
    reply = rig.curl("https://api.openai.com/v1/chat/completions", "-H", "x-case: curl", "--json", CALL)

    assert json.loads(reply)["choices"][0]["message"]["content"] == "You said: hi"
    assert {recorded(rig, case).origin for case in ("node", "curl")} == {"https://api.openai.com"}


def test_the_provider_gets_the_bytes_that_it_would_get_without_heli(rig: Rig, standin: StandIn) -> None:
    call = [
        "-X",
        "POST",
        "-H",
        "X-Odd-CASE: two  words",
        "-H",
        "x-lower: 1",
        "-H",
        "Helicone-User-Id: alice",
    ]
    call += ["-H", "x-standin-case: same", "-H", "content-type: application/json", "--data-binary", CALL]
    path = "/v1/chat/completions?a=b%20c&d"
    rig.a_run("run-bytes01", properties={"cwd": "/work"})

    rig.curl(f"https://api.openai.com{path}", *call, run="run-bytes01")
    through = asked(standin, "x-standin-case: same")
    standin.reset()
    subprocess.run(["curl", "-sS", f"{standin.url}{path}", *call], check=True, capture_output=True)
    direct = asked(standin, "x-standin-case: same")

    assert through["head"] == direct["head"].replace("Helicone-User-Id: alice\r\n", "")
    assert through["wire_sha256"] == direct["wire_sha256"]


def test_a_run_tags_its_calls_but_not_over_the_callers_own_words(rig: Rig, standin: StandIn) -> None:
    rig.a_run(
        "run-tags0001",
        session_name="fix the\nlogin",
        user_id="ünal",
        properties={"cwd": "/home/me", "git branch": "main", "": "nothing"},
    )
    code = OPENAI.replace('"x-case": "CASE"', '"x-case": "tags", "Helicone-User-Id": "bob"')

    rig.python(code, run="run-tags0001")

    exchange = recorded(rig, "tags")
    assert values(exchange, "helicone-session-id") == [b"session-of-run-tags0001"]
    assert values(exchange, "helicone-session-name") == [b"fix the login"]
    assert values(exchange, "helicone-user-id") == [b"bob"]
    assert values(exchange, "helicone-property-cwd") == [b"/home/me"]
    assert values(exchange, "helicone-property-git-branch") == [b"main"]
    head = asked(standin, "x-case: tags")["head"].lower()
    assert "helicone" not in head
    assert "heli-" not in head
    assert "proxy-" not in head
    assert "run-tags" not in head


def test_a_program_that_drops_the_user_name_is_known_by_its_process(rig: Rig) -> None:
    """As a child of a child of `heli run`; the pid in the run is that of the program in between."""
    rig.a_run("run-process1", session_id="by-process", pid=0)
    child = OPENAI.replace("CASE", "process")
    parent = f"""
import json, os, subprocess, sys
file = {str(rig.paths.runs / "run-process1.json")!r}
run = json.load(open(file))
run["pid"] = os.getpid()
json.dump(run, open(file, "w"))
subprocess.run([sys.executable, "-c", {child!r}], check=True)
"""
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux tells whose a connection is")

    rig.python(parent)

    assert values(recorded(rig, "process"), "helicone-session-id") == [b"by-process"]


def test_the_hand_over_leaves_no_trace_in_the_record(rig: Rig) -> None:
    rig.python(OPENAI.replace("CASE", "trace"))

    names = [key.lower() for key, _ in recorded(rig, "trace").request_headers]
    assert not [name for name in names if name.startswith(b"heli-")]
    secret = rig.paths.intercept_secret.read_bytes().strip()
    assert not [each for each in rig.sink.all() if secret in repr(each).encode()]


def test_nobody_else_speaks_as_the_interceptor(rig: Rig) -> None:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", rig.heli.ports["gateway"], timeout=10)
    origin = {"Heli-Intercept-Origin": "https://api.openai.com", "Heli-Intercept-Secret": "guessed"}
    connection.request("POST", "/v1/chat/completions", CALL, {"x-case": "forged", **origin})
    with connection.getresponse() as reply:
        assert reply.status == 400
    connection.close()

    exchange = recorded(rig, "forged")
    assert exchange.listener is Listener.GATEWAY
    assert exchange.outcome is Outcome.REFUSED
    assert values(exchange, "heli-intercept-secret") == [b"***"]


def test_a_caller_cannot_choose_another_origin_inside(rig: Rig, standin: StandIn) -> None:
    header = "Heli-Intercept-Origin: https://evil.example"
    rig.curl("https://api.openai.com/v1/models", "-H", "x-case: inside", "-H", header)

    assert recorded(rig, "inside").origin == "https://api.openai.com"
