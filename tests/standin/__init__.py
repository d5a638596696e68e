"""The stand-in: a provider of language models that does what the request tells it to, and keeps a journal.

It is a process of its own, reached over loopback, so that what crosses the wire is real bytes:

    python -m tests.standin --port 0          # prints its port on the first line
    python -m tests.standin --port 0 --fast   # for load: canned replies, no scenarios, no journal

    with start_standin() as standin:
        client = OpenAI(base_url=f"{standin.url}/v1", api_key="k")

**What it speaks** (by the end of the path, so that any prefix works): OpenAI `chat/completions`,
`completions`, `responses`, `embeddings`, `models`; Anthropic `messages`, `messages/count_tokens`;
Gemini `:generateContent`, `:streamGenerateContent` (SSE and JSON array), `:countTokens`,
`:embedContent`; Ollama `api/chat`, `api/generate`. Any other path is answered with a JSON echo of method,
target and body hash. WebSocket: `realtime` and `responses` paths hold a session as OpenAI's do, others echo.
Replies are a pure function of the request: ids come from its hash, `created` never changes, there is no
`date` header. Without a scenario the reply repeats the last user message and tells what images it got; when
tools are offered it calls the first (or the chosen) one with arguments that fit its schema.

**Scenarios** are a JSON object. It is taken from the first of these that has one, and the rest is ignored:

1. the header `x-standin: {"status": 429}`
2. the query parameter `standin` (URL-encoded)
3. the model's name after a `#`: `gpt-4o#{"status": 429}`; the reply names the model without it
4. a marker anywhere in the body, such as in a prompt: `[[standin {"status": 429}]]`

| Field | Meaning |
|---|---|
| `status` | the status; 400 and above answer with the provider's own shape of error |
| `retry_after` | adds the header `retry-after`, in seconds |
| `headers` | `[[name, value], …]`, added to the reply's head |
| `text`, `finish_reason`, `reasoning` | what the reply says, why it stopped, what it thought before |
| `tools` | `false`: call no tool though some are offered |
| `usage` | laid over the provider's own usage object, key by key; `null`: no usage at all |
| `chunks`, `interval_ms` | a stream's text in so many pieces, with a pause between events |
| `body_bytes` | so many bytes of `pattern()` as the body instead of JSON |
| `encoding` | `gzip`, `deflate`, `br` or `zstd`; streams are flushed at each event |
| `framing` | see `FRAMINGS` in `scenario.py`: good ones (`chunked`, `close`, `http10`) and broken ones |
| `trailers` | `[[name, value], …]` after a chunked body |
| `informational` | statuses of interim replies before the real one: `[103]` |
| `delay_s`, `stall_s`, `stall_at` | a pause before the head; a pause at `head`, `body` (default) or `end` |
| `drop` | break the connection `before_head`, `mid_head`, `after_head`, `mid_body` (or `mid_sse`), `at_end` |
| `drop_with` | `rst` (default) or `fin` |
| `early` | answer without reading the body, and close |
| `deflate` | WebSocket: agree to permessage-deflate if it is offered: `takeover` of the window, or `fresh` |
| `frames`, `frame_bytes` | WebSocket: push so many messages of that size before anything else |
| `script` | play a script that was put under this name, instead of any reply |

A **script** is a list of steps, put with `StandIn.put_script(name, steps)` past whatever is under test:
`{"write": "<base64>"}`, `{"pause_ms": 20}`, `{"close": "fin" | "rst"}`. It is played byte for byte.

**Journal**: `GET /_journal[?marker=text]` lists what came in, oldest first, fields as in `journal.py`;
`GET /_stats` counts connections and requests in flight; `POST /_reset` forgets everything.
"""

from tests.standin.process import StandIn, start_standin
from tests.standin.scenario import FRAMINGS, pattern, pattern_sha256

__all__ = ["FRAMINGS", "StandIn", "pattern", "pattern_sha256", "start_standin"]
