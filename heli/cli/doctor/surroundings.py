"""The environment of whoever asks: what in it keeps calls from heli, or puts them at risk."""

from collections.abc import Iterator, Mapping, Sequence

from heli.cli.doctor.finding import Finding, finding, good, note
from heli.cli.runs.kit import PROXY
from heli.cli.runs.traps import find_base_urls, find_hidden

UNVERIFIED = {
    "NODE_TLS_REJECT_UNAUTHORIZED": "0",
    "PYTHONHTTPSVERIFY": "0",
    "GIT_SSL_NO_VERIFY": "",
}
"""Variables that turn verification off, with the value that does; empty for any."""


def look_at_environment(
    environ: Mapping[str, str], hosts: Sequence[str], own_ports: Sequence[int], intercept_port: int
) -> Iterator[Finding]:
    found = [
        *_hidden(environ, hosts),
        *_unverified(environ),
        *_base_urls(environ, hosts, own_ports),
        *_proxies(environ, intercept_port),
    ]
    yield from found
    if not found:
        yield good("environment", "nothing in it keeps calls from heli")


def _hidden(environ: Mapping[str, str], hosts: Sequence[str]) -> Iterator[Finding]:
    if words := find_hidden(environ, hosts):
        told = f"NO_PROXY holds {', '.join(words)}: calls there ask for no proxy"
        yield finding("environment", told, "`heli run` leaves it out for its program; else unset it")


def _unverified(environ: Mapping[str, str]) -> Iterator[Finding]:
    for name, value in UNVERIFIED.items():
        if name in environ and (not value or environ[name] == value):
            yield finding(
                "environment",
                f"{name}={environ[name]} turns the check of certificates off, for everything",
                f"unset {name}; heli does not need it",
            )


def _base_urls(
    environ: Mapping[str, str], hosts: Sequence[str], own_ports: Sequence[int]
) -> Iterator[Finding]:
    for told in find_base_urls(environ, hosts, own_ports):
        yield finding("environment", told, f"unset {told.split(' ', 1)[0]}, or lead it through heli")


def _proxies(environ: Mapping[str, str], intercept_port: int) -> Iterator[Finding]:
    if environ.get("HELI_RUN_ID"):
        yield note("environment", "this is within `heli run` or `heli env`")
        return
    for name in (*PROXY, *map(str.lower, PROXY)):
        url = environ.get(name, "")
        if not url or f":{intercept_port}" in url:
            continue
        scheme = url.partition("://")[0].lower() if "://" in url else "http"
        if scheme in ("http", "https"):
            yield note("environment", f"{name} names a proxy of yours: heli calls providers by it")
        else:
            told = f"{name} names a {scheme} proxy, which heli does not speak to: it calls providers directly"
            yield note("environment", told, "where only a proxy leads there, name an http:// or https:// one")
        return
