"""What is measured: how each proxy is started, in its fastest documented form, before one stand-in provider.

No peer logs, stores or authenticates anything; heli captures every call to its spool.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from peers import LITELLM, MITMPROXY, PEERS, PORTKEY, install_from_npm, install_from_pypi
from processes import BUILD, BenchError

HELI = Path(sys.executable).parent / "heli"
COMPILED_HELI = Path(sys.executable).parent.parent.parent / ".venv-compiled" / "bin" / "heli"
"""As `make compiled` builds it."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """One proxy, ready to be started."""

    name: str
    version: str
    port: int
    stream_port: int
    """nginx wants a location of its own for streams, which are not to be gathered; others use `port`."""
    command: list[str]
    env: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    ready_path: str = "/"


def nginx(upstream: int, port: Callable[[], int]) -> Target:
    plain, streams = port(), port()
    folder = BUILD / "nginx"
    folder.mkdir(exist_ok=True)
    proxy = """
      proxy_pass http://provider;
      proxy_http_version 1.1;
      proxy_set_header Connection "";"""
    (folder / "nginx.conf").write_text(f"""
worker_processes 1;
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  keepalive_requests 1000000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream provider {{ server 127.0.0.1:{upstream}; keepalive 128; keepalive_requests 1000000; }}
  server {{ listen 127.0.0.1:{plain} backlog=1024; location / {{{proxy}
    }} }}
  server {{ listen 127.0.0.1:{streams} backlog=1024; location / {{{proxy}
      proxy_buffering off;
    }} }}
}}
""")
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    return Target(
        name="nginx",
        version=_output([program, "-v"]).rpartition("/")[2],
        port=plain,
        stream_port=streams,
        command=[
            program,
            "-p",
            str(folder),
            "-e",
            str(folder / "error.log"),
            "-c",
            str(folder / "nginx.conf"),
        ],
    )


def heli(upstream: int, port: Callable[[], int]) -> Target:
    """The compiled gateway."""
    if not COMPILED_HELI.exists():
        raise BenchError("there is no .venv-compiled: make compiled")
    return _heli("heli", COMPILED_HELI, upstream, port)


def plain_heli(upstream: int, port: Callable[[], int]) -> Target:
    """The gateway as plain Python, which a checkout runs unless it is told otherwise."""
    return _heli("heli, not compiled", HELI, upstream, port, "heli-plain")


def _heli(name: str, program: Path, upstream: int, port: Callable[[], int], home: str = "heli") -> Target:
    from heli import __version__

    openai = port()
    return Target(
        name=name,
        version=__version__,
        port=openai,
        stream_port=openai,
        command=[str(program), "serve", "gateway", "--workers", "1"],
        env=heli_env(upstream, openai, port, home),
        ready_path="/healthcheck",
    )


def heli_env(upstream: int, openai: int, port: Callable[[], int], home: str = "heli") -> dict[str, str]:
    """An installation of its own, on ports of its own; no backend answers until one is started."""
    return {
        "HELI_HOME": str(BUILD / home),
        "HELI_PORTS__OPENAI": str(openai),
        **{
            f"HELI_PORTS__{name}": str(port())
            for name in ("LOG_API", "GATEWAY", "ANTHROPIC", "BACKEND", "STORE")
        },
        "HELI_PROVIDERS__OPENAI__BASE_URL": f"http://127.0.0.1:{upstream}",
        # Room for every call of a benchmark, so that none is dropped while nothing is shipped.
        "HELI_SPOOL__MAX_BYTES": str(8 << 30),
        "HELI_LOG_LEVEL": "warning",
    }


def mitmproxy(upstream: int, port: Callable[[], int]) -> Target:
    install_from_pypi("mitmproxy", MITMPROXY)
    listen = port()
    streaming = BUILD / "stream_all.py"
    streaming.write_text("def responseheaders(flow):\n    flow.response.stream = True\n")
    return Target(
        name="mitmproxy",
        version=MITMPROXY.rpartition("=")[2],
        port=listen,
        stream_port=listen,
        command=[
            str(PEERS / "mitmproxy/bin/mitmdump"), "--quiet", "--mode", f"reverse:http://127.0.0.1:{upstream}",
            "--listen-host", "127.0.0.1", "--listen-port", str(listen), "--set", "flow_detail=0",
            "--set", "http2=false", "--set", f"confdir={BUILD / 'mitmproxy'}", "-s", str(streaming),
        ],
    )  # fmt: skip


def litellm(upstream: int, port: Callable[[], int]) -> Target:
    install_from_pypi("litellm", LITELLM)
    listen = port()
    config = BUILD / "litellm.yaml"
    config.write_text(f"""
model_list:
  - model_name: gpt-4o-mini
    litellm_params:
      model: openai/gpt-4o-mini
      api_base: http://127.0.0.1:{upstream}/v1
      api_key: sk-bench
litellm_settings:
  telemetry: false
  set_verbose: false
  disable_end_user_cost_tracking: true
""")
    return Target(
        name="LiteLLM",
        version=LITELLM.rpartition("=")[2],
        port=listen,
        stream_port=listen,
        command=[
            str(PEERS / "litellm/bin/litellm"), "--config", str(config), "--host", "127.0.0.1",
            "--port", str(listen), "--num_workers", "1", "--telemetry", "False",
        ],
        env={
            "LITELLM_LOG": "ERROR",
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            # Without it, LiteLLM wants a key, and to check one costs time.
            "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
            "PATH": f"{PEERS / 'litellm/bin'}:{os.environ['PATH']}",
        },
        ready_path="/health/liveliness",
    )  # fmt: skip


def portkey(upstream: int, port: Callable[[], int]) -> Target:
    install_from_npm("portkey", PORTKEY)
    listen = port()
    node = shutil.which("node")
    if node is None:
        raise BenchError("node not found: on Debian, apt install nodejs")
    return Target(
        name="Portkey",
        version=PORTKEY.rpartition("@")[2],
        port=listen,
        stream_port=listen,
        command=[
            node, str(PEERS / "portkey/node_modules/@portkey-ai/gateway/build/start-server.js"),
            f"--port={listen}", "--headless",
        ],
        env={"NODE_ENV": "production"},
        headers={
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": f"http://127.0.0.1:{upstream}/v1",
        },
    )  # fmt: skip


TARGETS: dict[str, Callable[[int, Callable[[], int]], Target]] = {
    "nginx": nginx,
    "heli": heli,
    "heli-plain": plain_heli,
    "mitmproxy": mitmproxy,
    "portkey": portkey,
    "litellm": litellm,
}


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip()
