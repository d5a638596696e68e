"""The calls that are made, and the two tools that make them: wrk for how many, `client.c` for how soon."""

import json
import shutil
import subprocess
from pathlib import Path

from processes import BUILD, CALLER_CORE, HERE, BenchError, run_json

PATH = "/v1/chat/completions"
CONNECTIONS = 64
STREAMS = 16
STREAM_EVENTS, STREAM_INTERVAL_MS = 30, 5
REQUEST_BYTES = 1024

HEADERS = {
    "Host": "127.0.0.1",
    "Content-Type": "application/json",
    "Accept": "*/*",
    "User-Agent": "heli-bench",
    "Authorization": "Bearer sk-bench-0000000000000000000000000000",
}


def build() -> None:
    """Compile the stand-in provider and the client, and write the bodies of the calls."""
    if missing := [tool for tool in ("gcc", "wrk", "nginx") if not shutil.which(tool)]:
        raise BenchError(
            f"{', '.join(missing)} not found: on Debian, apt install gcc libc6-dev wrk nginx-light"
        )
    BUILD.mkdir(exist_ok=True)
    for name in ("standin", "client"):
        source, program = HERE / f"{name}.c", BUILD / name
        if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
            subprocess.run(["gcc", "-O2", "-o", program, source], check=True)
    body_file(is_stream=False).write_bytes(make_body(is_stream=False))
    body_file(is_stream=True).write_bytes(make_body(is_stream=True))


def make_body(*, is_stream: bool) -> bytes:
    """A chat call of exactly `REQUEST_BYTES`."""
    message = {"role": "user", "content": ""}
    call = {"model": "gpt-4o-mini", "messages": [message], "temperature": 0.2}
    if is_stream:
        call |= {"stream": True, "stream_options": {"include_usage": True}}
    short = REQUEST_BYTES - len(json.dumps(call))
    message["content"] = ("Say something about the quick brown fox and the lazy dog. " * 20)[:short]
    return json.dumps(call).encode()


def body_file(*, is_stream: bool) -> Path:
    return BUILD / ("stream.json" if is_stream else "call.json")


def throughput(port: int, headers: dict[str, str], seconds: float, connections: int = CONNECTIONS) -> dict:
    """`completed`, `failed`, `per_second`, `p50_us`, `p99_us` with all connections busy."""
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds:.0f}s",
        "--timeout",
        "30s",
        "-s",
        HERE / "post.lua",
    ]
    lines = "\n".join(f"{name}: {value}" for name, value in (HEADERS | headers).items())
    env = {"BENCH_BODY": str(body_file(is_stream=False)), "BENCH_HEADERS": lines}
    return run_json(
        [*command, f"http://127.0.0.1:{port}{PATH}"], core=CALLER_CORE, timeout_s=seconds + 60, env=env
    )


def calls(
    port: int,
    headers: dict[str, str],
    seconds: float,
    *,
    connections: int = 1,
    rate: int = 0,
    is_stream: bool = False,
) -> dict:
    """`completed`, `failed`, `per_second`, `first_p50`, `whole_p50`, `…_p99` (microseconds), `unfinished`."""
    head = BUILD / f"head-{port}"
    lines = [f"POST {PATH} HTTP/1.1", *(f"{name}: {value}" for name, value in (HEADERS | headers).items())]
    head.write_text("\r\n".join([*lines, ""]))
    return run_json(
        [
            BUILD / "client", str(port), head, body_file(is_stream=is_stream),
            str(connections), str(seconds), str(rate),
        ],
        core=CALLER_CORE,
        timeout_s=seconds + 60,
        env={},
    )  # fmt: skip
