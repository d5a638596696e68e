"""The programs of the client matrix: each asks a model one thing and prints the answer, as users write them.

They read the base URL where their users set it, and know nothing of heli.
"""

import json
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from tests.clients.npm_packages import node_of

OPENAI_USAGE = '{"usage": {"prompt_tokens": 1000, "completion_tokens": 50, "total_tokens": 1050}}'
ANTHROPIC_USAGE = '{"usage": {"input_tokens": 1000, "output_tokens": 50}}'
GOOGLE_USAGE = '{"usage": {"promptTokenCount": 1000, "candidatesTokenCount": 50, "totalTokenCount": 1050}}'

PYTHON_OPENAI = """
import sys, openai
client = openai.OpenAI(max_retries=0)
asked = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": sys.argv[2]}]}
if sys.argv[1] == "stream":
    options = {"stream": True, "stream_options": {"include_usage": True}}
    with client.chat.completions.create(**asked, **options) as stream:
        for chunk in stream:
            print(*(choice.delta.content or "" for choice in chunk.choices), sep="", end="")
else:
    print(client.chat.completions.create(**asked).choices[0].message.content, end="")
"""
PYTHON_ASYNC_OPENAI = """
import sys, asyncio, openai
async def main():
    async with openai.AsyncOpenAI(max_retries=0) as client:
        asked = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": sys.argv[2]}]}
        if sys.argv[1] == "stream":
            options = {"stream": True, "stream_options": {"include_usage": True}}
            async for chunk in await client.chat.completions.create(**asked, **options):
                print(*(choice.delta.content or "" for choice in chunk.choices), sep="", end="")
        else:
            print((await client.chat.completions.create(**asked)).choices[0].message.content, end="")
asyncio.run(main())
"""
PYTHON_ANTHROPIC = """
import sys, anthropic
client = anthropic.Anthropic(max_retries=0)
asked = {"model": "claude-haiku-4-5", "max_tokens": 99}
asked["messages"] = [{"role": "user", "content": sys.argv[2]}]
if sys.argv[1] == "stream":
    with client.messages.stream(**asked) as stream:
        for text in stream.text_stream:
            print(text, end="")
else:
    print(client.messages.create(**asked).content[0].text, end="")
"""
PYTHON_GOOGLE = """
import os, sys
from google import genai
url = os.environ.get("GOOGLE_GEMINI_BASE_URL")
target = {"Helicone-Target-Url": "https://generativelanguage.googleapis.com"}
client = genai.Client(http_options={"base_url": url, "headers": target} if url else None)
asked = {"model": "gemini-2.5-flash", "contents": sys.argv[2]}
if sys.argv[1] == "stream":
    for chunk in client.models.generate_content_stream(**asked):
        print(chunk.text or "", end="")
else:
    print(client.models.generate_content(**asked).text, end="")
client.close()
"""
_PLAIN = """
import json, os, sys
url = os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1") + "/chat/completions"
headers = {"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"]}
streams = sys.argv[1] == "stream"
asked = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": sys.argv[2]}], "stream": streams}
if streams: asked["stream_options"] = {"include_usage": True}
def show(line):
    if line.startswith("data: {"):
        for choice in json.loads(line[6:])["choices"]:
            print(choice["delta"].get("content") or "", end="")
"""
PYTHON_REQUESTS = f"""{_PLAIN}
import requests
with requests.post(url, json=asked, headers=headers, stream=streams, timeout=30) as reply:
    if streams:
        for line in reply.iter_lines(decode_unicode=True): show(line)
    else: print(reply.json()["choices"][0]["message"]["content"], end="")
"""
PYTHON_HTTPX = f"""{_PLAIN}
import httpx
with httpx.stream("POST", url, json=asked, headers=headers, timeout=30) as reply:
    if streams:
        for line in reply.iter_lines(): show(line)
    else:
        reply.read()
        print(reply.json()["choices"][0]["message"]["content"], end="")
"""
PYTHON_URLLIB = f"""{_PLAIN}
import urllib.request
headers["Content-Type"] = "application/json"
question = urllib.request.Request(url, json.dumps(asked).encode(), headers)
with urllib.request.urlopen(question, timeout=30) as reply:
    if streams:
        for line in reply: show(line.decode().strip())
    else: print(json.load(reply)["choices"][0]["message"]["content"], end="")
"""
PYTHON_AIOHTTP = f"""{_PLAIN}
import aiohttp, asyncio
async def main():
    async with aiohttp.ClientSession(trust_env=TRUST_ENV) as session:
        async with session.post(url, json=asked, headers=headers) as reply:
            if streams:
                async for line in reply.content: show(line.decode().strip())
            else: print((await reply.json())["choices"][0]["message"]["content"], end="")
asyncio.run(main())
"""
NODE_OPENAI = """
const OpenAI = require("openai").default;
const [how, prompt] = process.argv.slice(2);
(async () => {
  const client = new OpenAI({ maxRetries: 0 });
  const asked = { model: "gpt-4o-mini", messages: [{ role: "user", content: prompt }] };
  if (how === "stream") {
    const options = { stream: true, stream_options: { include_usage: true } };
    for await (const chunk of await client.chat.completions.create({ ...asked, ...options }))
      for (const choice of chunk.choices) process.stdout.write(choice.delta.content ?? "");
  } else process.stdout.write((await client.chat.completions.create(asked)).choices[0].message.content);
})();
"""
NODE_ANTHROPIC = """
const Anthropic = require("@anthropic-ai/sdk").default;
const [how, prompt] = process.argv.slice(2);
(async () => {
  const client = new Anthropic({ maxRetries: 0 });
  const asked = { model: "claude-haiku-4-5", max_tokens: 99, messages: [{ role: "user", content: prompt }] };
  if (how === "stream") {
    for await (const event of await client.messages.create({ ...asked, stream: true }))
      if (event.type === "content_block_delta") process.stdout.write(event.delta.text);
  } else process.stdout.write((await client.messages.create(asked)).content[0].text);
})();
"""
NODE_FETCH = """
const [how, prompt] = process.argv.slice(2);
const url = (process.env.OPENAI_BASE_URL ?? "https://api.openai.com/v1") + "/chat/completions";
(async () => {
  const streams = how === "stream";
  const asked = { model: "gpt-4o-mini", messages: [{ role: "user", content: prompt }], stream: streams };
  if (streams) asked.stream_options = { include_usage: true };
  const key = process.env.OPENAI_API_KEY;
  const headers = { Authorization: `Bearer ${key}`, "Content-Type": "application/json" };
  const reply = await fetch(url, { method: "POST", headers, body: JSON.stringify(asked) });
  if (!streams) return process.stdout.write((await reply.json()).choices[0].message.content);
  for (const line of (await reply.text()).split("\\n"))
    if (line.startsWith("data: {"))
      for (const choice of JSON.parse(line.slice(6)).choices)
        process.stdout.write(choice.delta.content ?? "");
})();
"""
SHELL_CURL = """
url="${OPENAI_BASE_URL:-https://api.openai.com/v1}/chat/completions"
if [ "$1" = stream ]; then more=', "stream": true, "stream_options": {"include_usage": true}'; fi
body="{\\"model\\": \\"gpt-4o-mini\\", \\"messages\\": [{\\"role\\": \\"user\\", \\"content\\": $2}]$more}"
set -- -H "Authorization: Bearer $OPENAI_API_KEY" -H 'Content-Type: application/json'
curl -sS --fail "$url" "$@" -d "$body"
"""


class Program(NamedTuple):
    """A program of the matrix."""

    name: str
    provider: str
    """`openai`, `anthropic` or `google`: whose model it asks."""
    language: str
    """`python`, `node` or `sh`."""
    text: str

    def command(self, npm: Callable[[], Path], how: str, folder: Path) -> list[str]:
        """The words to run it, `how` being `stream` or `whole`; it may write into the folder."""
        prompt = f"Say hi. [[standin {USAGE[self.provider]}]]"
        if self.language == "python":
            return [sys.executable, "-c", self.text, how, prompt]
        if self.language == "node":
            packages = npm()
            script = packages / f"{self.name.replace(' ', '-')}.cjs"
            script.write_text(self.text)
            return [node_of(packages), str(script), how, prompt]
        script = folder / "program.sh"
        script.write_text(self.text)
        return ["sh", str(script), how, json.dumps(prompt)]


USAGE = {"openai": OPENAI_USAGE, "anthropic": ANTHROPIC_USAGE, "google": GOOGLE_USAGE}
MODELS = {
    # model, dollars for 1,000 tokens in and 50 out at the provider's list price
    "openai": ("gpt-4o-mini", Decimal("0.00018")),  # $0.15 and $0.60 a million
    "anthropic": ("claude-haiku-4-5", Decimal("0.00125")),  # $1 and $5
    "google": ("gemini-2.5-flash", Decimal("0.000425")),  # $0.30 and $2.50
}
PROGRAMS = [
    Program("python openai", "openai", "python", PYTHON_OPENAI),
    Program("python openai async", "openai", "python", PYTHON_ASYNC_OPENAI),
    Program("python anthropic", "anthropic", "python", PYTHON_ANTHROPIC),
    Program("python google-genai", "google", "python", PYTHON_GOOGLE),
    Program("python requests", "openai", "python", PYTHON_REQUESTS),
    Program("python httpx", "openai", "python", PYTHON_HTTPX),
    Program("python urllib", "openai", "python", PYTHON_URLLIB),
    Program("python aiohttp trust_env", "openai", "python", PYTHON_AIOHTTP.replace("TRUST_ENV", "True")),
    Program("node openai", "openai", "node", NODE_OPENAI),
    Program("node anthropic", "anthropic", "node", NODE_ANTHROPIC),
    Program("node fetch", "openai", "node", NODE_FETCH),
    Program("curl", "openai", "sh", SHELL_CURL),
]
PAST_PROXIES = Program("python aiohttp", "openai", "python", PYTHON_AIOHTTP.replace("TRUST_ENV", "False"))
"""Asks nobody for a proxy: only a base URL leads it through heli."""
