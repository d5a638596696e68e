"""The kit: variables by which a program, and what it starts, sends its calls through heli and trusts it.

What the user set before is kept: their roots are in the bundle, their exceptions in `NO_PROXY`. Nothing in
the kit turns verification off.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from heli.cli.runs.before import BEFORE, pack
from heli.schema.root_variables import ADDING, REPLACING

SWITCHES = {
    "NODE_USE_ENV_PROXY": "1",  # Node's own fetch passes the proxy by otherwise
    "AIOHTTP_TRUST_ENV": "True",  # LiteLLM, and the agents that are built on it
    "UV_NATIVE_TLS": "true",
}
DENO_STORE = "DENO_TLS_CA_STORE"
PROXY = ("HTTPS_PROXY", "HTTP_PROXY")
NO_PROXY = "NO_PROXY"
NEVER_PROXIED = ("localhost", "127.0.0.1", "::1", ".local")
JAVA = "JAVA_TOOL_OPTIONS"


class Java(msgspec.Struct, frozen=True, kw_only=True):
    """A store of roots as Java wants it."""

    store: Path
    password: str


class Capture(msgspec.Struct, frozen=True, kw_only=True):
    """What the kit of one run is made of."""

    proxy_host: str
    proxy_port: int
    run_id: str
    session_id: str
    bundle: Path
    """The user's roots and heli's authority."""
    authority: Path
    """heli's authority alone."""
    hosts: tuple[str, ...] = ()
    """Hosts that are decrypted, `*.` before some."""
    java: Java | None = None

    @property
    def proxy_url(self) -> str:
        """With the run as the user's name, by which the interceptor tells whose a call is."""
        host = f"[{self.proxy_host}]" if ":" in self.proxy_host else self.proxy_host
        return f"http://{self.run_id}:x@{host}:{self.proxy_port}"


def make_kit(environ: Mapping[str, str], capture: Capture) -> dict[str, str]:
    """The variables to set over `environ`, which is without another kit."""
    kit = {name: capture.proxy_url for upper in PROXY for name in (upper, upper.lower())}
    exceptions = merge_no_proxy(environ, capture)
    kit |= {NO_PROXY: exceptions, NO_PROXY.lower(): exceptions}
    kit |= dict.fromkeys(REPLACING, str(capture.bundle))
    kit |= {name: str(capture.bundle if environ.get(name) else capture.authority) for name in ADDING}
    kit |= SWITCHES
    kit[DENO_STORE] = environ.get(DENO_STORE) or "system,mozilla"
    if capture.java:
        kit[JAVA] = _java_options(environ.get(JAVA, ""), capture, capture.java)
    kit |= {"HELI_RUN_ID": capture.run_id, "HELI_SESSION": capture.session_id}
    return kit | {BEFORE: pack(kit, environ)}


def merge_no_proxy(environ: Mapping[str, str], capture: Capture) -> str:
    """The user's exceptions, but for those that would hide a model API, and this machine."""
    told = ",".join(environ.get(name, "") for name in (NO_PROXY, NO_PROXY.lower()))
    own = [word for word in split_no_proxy(told) if not hides_any(word, capture.hosts)]
    here = () if capture.proxy_host in NEVER_PROXIED else (capture.proxy_host,)
    return ",".join(dict.fromkeys([*own, *NEVER_PROXIED, *here]))


def split_no_proxy(text: str) -> list[str]:
    """Some programs separate by commas, some by blanks."""
    return [word for word in re.split(r"[,\s]+", text) if word]


def hides_any(exception: str, hosts: Iterable[str]) -> bool:
    """Whether a word of `NO_PROXY` takes in a host that is decrypted."""
    if exception == "*":
        return True
    name = re.sub(r":\d+$", "", exception.lower()).removeprefix("*").strip(".")
    if not name:
        return False
    return any(_overlap(name, host) for host in hosts)


def _overlap(name: str, host: str) -> bool:
    bare = host.removeprefix("*.")
    if f".{bare}".endswith(f".{name}"):
        return True
    return bare != host and name.endswith(f".{bare}")


def _java_options(before: str, capture: Capture, java: Java) -> str:
    """The user's own first; where an option comes twice, Java takes the last one."""
    ours = [
        f"-D{scheme}.proxy{part}={value}"
        for scheme in ("https", "http")
        for part, value in (("Host", capture.proxy_host), ("Port", capture.proxy_port))
    ]
    ours += [
        '"-Dhttp.nonProxyHosts=localhost|127.*|[::1]|*.local"',
        _quoted(f"-Djavax.net.ssl.trustStore={java.store}"),
        "-Djavax.net.ssl.trustStoreType=PKCS12",
        f"-Djavax.net.ssl.trustStorePassword={java.password}",
    ]
    added = " ".join(ours)
    return before if added in before else f"{before} {added}".strip()


def _quoted(option: str) -> str:
    """`JAVA_TOOL_OPTIONS` is cut at blanks, except within quotes."""
    return f'"{option}"' if re.search(r"\s", option) else option
