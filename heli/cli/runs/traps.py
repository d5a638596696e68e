"""Why a program's calls may not have been seen: what is known of programs that pass a proxy by.

Asked only when no call was seen, so it may look into files and ask a runtime for its version.
"""

import mmap
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from heli.cli.runs.kit import hides_any, split_no_proxy

BASE_URLS = (
    "OPENAI_BASE_URL",
    "OPENAI_API_BASE",
    "ANTHROPIC_BASE_URL",
    "ANTHROPIC_BEDROCK_BASE_URL",
    "ANTHROPIC_VERTEX_BASE_URL",
    "GOOGLE_GEMINI_BASE_URL",
    "GOOGLE_VERTEX_BASE_URL",
    "AZURE_OPENAI_ENDPOINT",
    "AZURE_OPENAI_BASE_URL",
    "MISTRAL_BASE_URL",
    "GROQ_BASE_URL",
    "OLLAMA_HOST",
    "LLM_BASE_URL",
)
"""Variables by which clients are told where to call."""
ELSEWHERE = {
    "docker": "a container has its own environment: give it HTTPS_PROXY and the bundle of `heli ca show`",
    "podman": "a container has its own environment: give it HTTPS_PROXY and the bundle of `heli ca show`",
    "ssh": "what runs on the other machine does not see this one's proxy",
    "kubectl": "what runs in the cluster does not see this machine's proxy",
    "sudo": "sudo empties the environment: put it before heli, or use `sudo -E`",
    "su": "su empties the environment",
}
NODE_ASKS_S = 1.0
LARGEST_FILE = 512 * 1024 * 1024
OLD_NODE = "does not heed HTTPS_PROXY by itself: that needs Node 22.21, 24.5 or newer, or a base URL"


def explain_silence(
    command: Sequence[str], environ: Mapping[str, str], hosts: Sequence[str], own_ports: Sequence[int]
) -> list[str]:
    """What may be the reason, a sentence each, the likeliest first. `environ` is the program's own."""
    found = [*find_base_urls(environ, hosts, own_ports)]
    name = Path(command[0]).name
    if name in ELSEWHERE:
        found.append(f"{name}: {ELSEWHERE[name]}")
    program = shutil.which(command[0], path=environ.get("PATH"))
    if program:
        found += _of_program(Path(program).resolve(), environ)
    return found


def find_base_urls(
    environ: Mapping[str, str], hosts: Sequence[str], own_ports: Sequence[int]
) -> Iterator[str]:
    """Base URLs that lead past the proxy."""
    for name in BASE_URLS:
        url = environ.get(name, "")
        host, port = _host_of(url)
        if not host or (host in ("localhost", "127.0.0.1", "::1") and port in own_ports):
            continue
        if host in ("localhost", "127.0.0.1", "::1"):
            yield f"{name} is {_shown(url)}, on this machine, which no proxy is asked for"
        elif not any(_is_like(host, pattern) for pattern in hosts):
            yield f"{name} is {_shown(url)}, which heli does not decrypt; `heli ca allow {host}` would"


def find_hidden(environ: Mapping[str, str], hosts: Sequence[str]) -> list[str]:
    """The words of `NO_PROXY` that keep calls to models from a proxy."""
    told = ",".join(environ.get(name, "") for name in ("NO_PROXY", "no_proxy"))
    return [word for word in dict.fromkeys(split_no_proxy(told)) if hides_any(word, hosts)]


def node_reads_proxy(version: str) -> bool:
    """Whether this Node's own fetch heeds `NODE_USE_ENV_PROXY`: 22.21 and 24.0 were the first."""
    numbers = [int(part) for part in re.findall(r"\d+", version)[:2]]
    if len(numbers) < 2:
        return False
    major, minor = numbers
    return major >= 24 or (major == 22 and minor >= 21)


def node_version(node: str, environ: Mapping[str, str]) -> str:
    """`v22.21.0`; empty when it does not tell in time."""
    try:
        asked = subprocess.run(  # noqa: S603 - the node that the program itself would use
            [node, "--version"],
            capture_output=True,
            text=True,
            timeout=NODE_ASKS_S,
            check=False,
            env=dict(environ),
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return asked.stdout.strip()


def _of_program(program: Path, environ: Mapping[str, str]) -> Iterator[str]:
    interpreter = _interpreter(program)
    if interpreter.startswith("node") and (node := _node_of(program, environ)):
        version = node_version(node, environ)
        if version and not node_reads_proxy(version):
            yield f"node {version} {OLD_NODE}"
    elif interpreter.startswith(("python", "pypy")):
        yield "aiohttp asks for a proxy only with `trust_env=True`, httpx never with `trust_env=False`"
    elif not interpreter:
        yield from _of_binary(program)


def _interpreter(program: Path) -> str:
    """The program's own name when it is an interpreter, that of its first line when it is a script."""
    if re.fullmatch(r"(?:node|python|pypy)[\d.]*", program.name):
        return program.name
    try:
        with program.open("rb") as stream:
            first = stream.readline(200)
    except OSError:
        return ""
    if not first.startswith(b"#!"):
        return ""
    words = [os.path.basename(word) for word in first[2:].decode(errors="replace").split()]  # noqa: PTH119
    return next(
        (word for word in words if word != "env" and not word.startswith("-") and "=" not in word), ""
    )


def _node_of(program: Path, environ: Mapping[str, str]) -> str:
    if program.name.startswith("node"):
        return str(program)
    return shutil.which("node", path=environ.get("PATH")) or ""


def _of_binary(program: Path) -> Iterator[str]:
    """Binaries that carry their own roots, or ask nobody but the system for them."""
    try:
        with program.open("rb") as stream:
            if os.fstat(stream.fileno()).st_size > LARGEST_FILE:
                return
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
                is_go = content.find(b"\xff Go buildinf:") >= 0
                is_rust = content.find(b"webpki-roots-") >= 0
    except (OSError, ValueError):
        return
    if is_go and sys.platform == "darwin":
        yield f"{program.name} is a Go program, which on macOS trusts the keychain only: `heli ca trust`"
    if is_rust:
        yield f"{program.name} seems to carry its own roots, so it trusts nobody else: use its base URL"


def _host_of(url: str) -> tuple[str, int | None]:
    try:
        parts = urlsplit(url if "://" in url else f"//{url}")
        return (parts.hostname or "").lower(), parts.port
    except ValueError:
        return "", None


def _shown(url: str) -> str:
    """Without a secret that may be in it."""
    return re.sub(r"(?<=//)[^/@]*@", "", url.partition("?")[0])[:200]


def _is_like(host: str, pattern: str) -> bool:
    bare = pattern.removeprefix("*.")
    return host == bare or (bare != pattern and host.endswith(f".{bare}"))
