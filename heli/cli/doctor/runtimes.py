"""Every runtime on this machine makes one real call through the interceptor to heli's own host.

What comes back tells three things: whether the runtime asks the proxy, whether it accepts heli's authority,
and whether a stream's events come one by one.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from heli.cli.doctor import probes
from heli.cli.runs.traps import OLD_NODE, node_reads_proxy, node_version

URL = "https://doctor.heli.invalid/stream"
EVENTS = 5
STEADY_MS = 100
"""Sent within 200 ms. Events that come within less than this have waited for each other."""
PATIENCE_S = 20.0
COMPILE_S = 90.0
MOST_PYTHONS = 4
AT_ONCE = 2
_CERTIFICATE = re.compile(
    r"(?i)certificate|CERT_|\bssl\b.*(?:verif|error)|PKIX|x509|unable to get (?:local )?issuer"
)
_NO_NAME = re.compile(
    r"(?i)ENOTFOUND|EAI_AGAIN|could not resolve|name or service not known|nodename nor servname|no such host"
    r"|name resolution|UnresolvedAddress|UnknownHost|getaddrinfo|No address associated"
)


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """One way in which programs on this machine call."""

    runtime: str
    """`python 3.13.0`, `node v24.9.0`, `curl`, …"""
    library: str
    command: list[str]
    place: str
    """The file of the runtime."""
    seconds: float = PATIENCE_S


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What a probe has shown; `None` for what could not be told."""

    runtime: str
    library: str
    place: str
    uses_proxy: bool | None
    accepts_authority: bool | None
    streams: bool | None
    """Whether events came one by one."""
    trouble: str = ""
    fix: str = ""

    @property
    def is_good(self) -> bool:
        return bool(self.uses_proxy and self.accepts_authority and self.streams)


def try_runtimes(environ: Mapping[str, str]) -> list[Tried]:
    """Try each, two at a time. `environ` is what `heli run --java` would give a program."""
    with tempfile.TemporaryDirectory(prefix="heli-doctor-") as folder:
        found = list(find_probes(Path(folder), environ))
        with ThreadPoolExecutor(AT_ONCE) as threads:
            return list(threads.map(lambda probe: _try(probe, environ), found))


def find_probes(folder: Path, environ: Mapping[str, str]) -> Iterator[Probe]:
    """The runtimes that are there; `folder` takes what must be a file."""
    for python in find_pythons(environ):
        yield from _python_probes(python, environ)
    search = environ.get("PATH")
    if node := shutil.which("node", path=search):
        version = node_version(node, environ) or "node"
        for library in probes.NODE:
            command = [node, "-e", probes.node_probe(library), URL]
            yield Probe(runtime=f"node {version}", library=library, command=command, place=node)
    if curl := shutil.which("curl", path=search):
        command = [curl, "-sSN", "--fail", "--max-time", "8", URL]
        yield Probe(runtime="curl", library="", command=command, place=curl)
    if go := shutil.which("go", path=search):
        source = folder / "probe.go"
        source.write_text(probes.GO)
        command = [go, "run", str(source), URL]
        yield Probe(runtime="go", library="net/http", command=command, place=go, seconds=COMPILE_S)
    java = shutil.which("java", path=search)
    if java and shutil.which("javac", path=search):
        source = folder / "Probe.java"
        source.write_text(probes.JAVA)
        command = [java, str(source), URL]
        yield Probe(
            runtime="java --java", library="HttpClient", command=command, place=java, seconds=COMPILE_S
        )


def find_pythons(environ: Mapping[str, str]) -> list[str]:
    """heli's own, that of the virtual environment, and those on the PATH: each once, at most so many."""
    search = environ.get("PATH")
    own = [sys.executable, os.path.join(environ.get("VIRTUAL_ENV", ""), "bin", "python")]  # noqa: PTH118
    named = [shutil.which(name, path=search) or "" for name in ("python3", "python")]
    found: dict[str, str] = {}
    for file in (*own, *named):
        if file and os.access(file, os.X_OK):
            # An environment's python leads to that of the system, but has libraries of its own.
            place = Path(file)
            found.setdefault(f"{place.parent.resolve()}", file)
    return list(found.values())[:MOST_PYTHONS]


def _python_probes(python: str, environ: Mapping[str, str]) -> Iterator[Probe]:
    ask = (
        "import sys, importlib.util as u; print('.'.join(map(str, sys.version_info[:3])),"
        "*[n for n in sys.argv[1:] if u.find_spec(n)])"
    )
    words = [python, "-c", ask, *list(probes.PYTHON)[1:]]
    try:
        told = subprocess.run(  # noqa: S603 - a Python of the user's
            words, capture_output=True, text=True, timeout=PATIENCE_S, check=False, env=dict(environ)
        )
    except (OSError, subprocess.SubprocessError):
        return
    version, *libraries = told.stdout.split() or [""]
    if not version:
        return
    for library in ("urllib", *libraries):
        command = [python, "-c", probes.python_probe(library), URL]
        yield Probe(runtime=f"python {version}", library=library, command=command, place=python)


def _try(probe: Probe, environ: Mapping[str, str]) -> Tried:
    is_curl = probe.runtime == "curl"
    try:
        done = _run_curl(probe, environ) if is_curl else _run(probe, environ)
    except subprocess.TimeoutExpired:
        return _told(probe, None, None, None, f"it was not done after {probe.seconds:g} s", "try it again")
    except OSError as error:
        return _told(probe, None, None, None, f"it cannot be started: {error.strerror}", f"see {probe.place}")
    code, said, complaint = done
    if code:
        return _failed(probe, complaint)
    try:
        arrivals = [int(each) for each in json.loads(said.strip().splitlines()[-1])["arrivals"]]
    except (ValueError, IndexError, KeyError, TypeError):
        return _told(
            probe, None, None, None, f"it said what nobody understands: {said[:80]!r}", "try it by hand"
        )
    return _judge(probe, arrivals)


def _run(probe: Probe, environ: Mapping[str, str]) -> tuple[int, str, str]:
    done = subprocess.run(  # noqa: S603 - a runtime of the user's with our own words
        probe.command, capture_output=True, text=True, timeout=probe.seconds, check=False,
        env=dict(environ), stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def _run_curl(probe: Probe, environ: Mapping[str, str]) -> tuple[int, str, str]:
    """curl tells no times, so the lines' arrivals here are taken."""
    began = time.monotonic()
    with subprocess.Popen(  # noqa: S603 - curl with our own words
        probe.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(environ), text=True
    ) as process:
        assert process.stdout
        assert process.stderr
        arrivals = [
            round(1000 * (time.monotonic() - began)) for line in process.stdout if line.startswith("data: ")
        ]
        complaint = process.stderr.read()
    return process.returncode, json.dumps({"arrivals": arrivals}), complaint


def _judge(probe: Probe, arrivals: Sequence[int]) -> Tried:
    if len(arrivals) != EVENTS:
        told = f"{len(arrivals)} of {EVENTS} events came"
        return _told(probe, True, True, False, told, "`heli status` says whether the interceptor is well")
    if arrivals[-1] - arrivals[0] < STEADY_MS:
        told = "the events of a stream came all at once"
        return _told(
            probe, True, True, False, told, "something between holds streams back; is there a proxy?"
        )
    return _told(probe, True, True, True)


def _failed(probe: Probe, complaint: str) -> Tried:
    short = _last_line(complaint)
    if probe.runtime.startswith("node") and not _node_can(probe):
        return _told(probe, False, None, None, OLD_NODE, "use a newer Node, or the client's base URL")
    if _CERTIFICATE.search(complaint):
        fix = "is a variable set that names other roots? `heli ca trust` lets the whole machine trust it"
        return _told(probe, True, False, None, short, fix)
    if _NO_NAME.search(complaint):
        return _told(probe, False, None, None, f"it asks no proxy: {short}", "use the client's base URL")
    return _told(probe, None, None, None, short, "`heli status` says whether the interceptor is well")


def _node_can(probe: Probe) -> bool:
    """`https` heeds the proxy from 22.21 and 24.5 on, `fetch` from 24.0."""
    version = probe.runtime.removeprefix("node ")
    if probe.library == "https" and re.match(r"v24\.[0-4]\.", version):
        return False
    return node_reads_proxy(version)


def _last_line(text: str) -> str:
    """The line that says most: the last that names an error, else the last."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"(?i)error|exception|curl:|cannot|could not|x509", line)]
    return (telling or lines or ["it ended without a word"])[-1][:200]


def _told(
    probe: Probe,
    uses_proxy: bool | None,
    accepts_authority: bool | None,
    streams: bool | None,
    trouble: str = "",
    fix: str = "",
) -> Tried:
    return Tried(
        runtime=probe.runtime,
        library=probe.library,
        place=probe.place,
        uses_proxy=uses_proxy,
        accepts_authority=accepts_authority,
        streams=streams,
        trouble=trouble,
        fix=fix,
    )
