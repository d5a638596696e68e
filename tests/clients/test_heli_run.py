"""`heli run` on a whole heli: tags, the closing line, runs inside runs, and a heli that cannot capture."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from heli.cli.runs.before import BEFORE, pack
from tests.clients.running_heli import PORTS, RunningHeli
from tests.clients.waiting import until
from tests.standin import StandIn

HELI = (sys.executable, "-m", "heli")
USAGE = '[[standin {"usage": {"prompt_tokens": 1000, "completion_tokens": 50}}]]'
ASKS = """
import json, sys, urllib.request
for prompt in sys.argv[1:]:
    asked = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": prompt}]}
    headers = {"Authorization": "Bearer sk-secret", "Content-Type": "application/json"}
    question = urllib.request.Request(
        "https://api.openai.com/v1/chat/completions", json.dumps(asked).encode(), headers
    )
    with urllib.request.urlopen(question, timeout=30) as reply: reply.read()
"""
COST = Decimal("0.00018")
MOST_WAIT_S = 2.0
"""P14: no program waits longer for a heli that cannot capture it, from the command to the program's end."""


def run(
    heli: RunningHeli, *words: str, cwd: Path | None = None, **variables: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*HELI, "run", *words],
        env={**heli.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **variables},
        cwd=cwd or heli.home, capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip


def asking(*prompts: str) -> list[str]:
    return [sys.executable, "-c", ASKS, *prompts]


def test_the_closing_line_sums_up_the_run(heli: RunningHeli, standin: StandIn) -> None:
    done = run(heli, "--", *asking(*[f"{number} {USAGE}" for number in range(3)]))
    last = done.stderr.splitlines()[-1]
    found = re.fullmatch(
        r"heli: 3 calls · 3,000 in · 150 out · \$\.00054 · heli logs (session:python-[0-9a-f]{6})", last
    )
    assert found, done.stderr
    assert len(heli.client.requests(found[1]).requests) == 3
    assert heli.client.costs([], found[1]).total.cost_usd == 3 * COST


def test_a_call_of_unknown_cost_is_told_apart(heli: RunningHeli, standin: StandIn) -> None:
    words = asking(f"hi {USAGE}")
    words[2] = ASKS.replace("gpt-4o-mini", "nobody-knows-this-model")
    assert (
        run(heli, "--", *words).stderr.splitlines()[-1].startswith("heli: 1 call · 1,000 in · 50 out · ? · ")
    )


def test_a_call_that_is_cut_off_at_the_end_is_counted(heli: RunningHeli, standin: StandIn) -> None:
    """The program leaves while the reply still streams."""
    stream = ASKS.replace('"messages"', '"stream": True, "messages"').replace("reply.read()", "reply.read(9)")
    scenario = '[[standin {"chunks": 200, "interval_ms": 50}]]'
    words = [sys.executable, "-c", f"{stream}\nimport os; os._exit(0)", f"hi {scenario}"]
    began = time.monotonic()
    done = run(heli, "--", *words)
    assert time.monotonic() - began < 8
    assert re.match(r"heli: (1 call|no call to a model was seen so far)", done.stderr.splitlines()[-1])


def test_calls_are_tagged_with_where_they_come_from(
    heli: RunningHeli, standin: StandIn, tmp_path: Path
) -> None:
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "init.defaultBranch=trunk"]
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run([*git, *words], cwd=tmp_path, check=True)
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout.strip()
    session = uuid.uuid4().hex
    options = ["--session", session, "--user", "alice", "--property", "Ticket=4711"]

    run(heli, *options, "--", *asking("hi", "--api-key=sk-0123456789abcdef"), cwd=tmp_path)

    rows = until(lambda: heli.client.requests(f"session:{session}").requests)
    row = rows[0]
    assert (row.user_id, row.session_id, row.session_name) == ("alice", session, session)
    tags = row.properties
    assert (tags["ticket"], tags["branch"], tags["commit"]) == ("4711", "trunk", commit)
    assert tags["directory"] == str(tmp_path.resolve())
    assert "--api-key=***" in tags["command"]
    assert not any("sk-0123456789abcdef" in str(entry["headers"]) for entry in standin.journal())


def test_the_program_gets_the_kit_and_the_run_is_private(heli: RunningHeli) -> None:
    show = "import json, os; print(json.dumps(dict(os.environ)))"
    done = run(heli, "--session", "mine", "--", sys.executable, "-c", show, NO_PROXY="corp,api.openai.com")
    kit = json.loads(done.stdout)
    port = heli.ports["intercept"]
    run_id = kit["HELI_RUN_ID"]
    assert kit["HTTPS_PROXY"] == kit["https_proxy"] == f"http://{run_id}:x@127.0.0.1:{port}"
    assert kit["NO_PROXY"] == kit["no_proxy"] == "corp,localhost,127.0.0.1,::1,.local"
    assert kit["HELI_SESSION"] == "mine"
    assert "BEGIN CERTIFICATE" in Path(kit["SSL_CERT_FILE"]).read_text()
    assert "JAVA_TOOL_OPTIONS" not in kit
    file = heli.home / "state" / "runs" / f"{run_id}.json"
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_run_inside_a_run_is_of_its_session_and_in_its_sum(heli: RunningHeli, standin: StandIn) -> None:
    inner = [*HELI, "run", "--", *asking(f"inner {USAGE}")]
    both = f"import subprocess, sys; subprocess.run({inner!r}, check=True)"
    session = uuid.uuid4().hex
    done = run(heli, "--session", session, "--", sys.executable, "-c", both)
    inner_line, outer_line = done.stderr.splitlines()[-2:]
    assert inner_line == outer_line
    assert outer_line.endswith(f"heli logs session:{session}")
    assert len(heli.client.requests(f"session:{session}").requests) == 1


def test_the_closing_line_lists_what_it_counts_of_another_session(
    heli: RunningHeli, standin: StandIn
) -> None:
    runs = [
        [*HELI, "run", *words, "--", *asking(f"inner {USAGE}")]
        for words in ([], ["--session", uuid.uuid4().hex])
    ]
    both = f"import subprocess, sys\nfor inner in {runs!r}: subprocess.run(inner, check=True)"
    done = run(heli, "--session", uuid.uuid4().hex, "--", sys.executable, "-c", both)
    found = re.fullmatch(r"heli: 2 calls · .* · heli logs (.+)", done.stderr.splitlines()[-1])
    assert found, done.stderr
    assert len(heli.client.requests(*shlex.split(found[1])).requests) == 2


def test_quiet_says_nothing_and_leaves_no_heli_between(heli: RunningHeli, standin: StandIn) -> None:
    show = f"{ASKS}\nimport os; print(os.getppid())"
    session = uuid.uuid4().hex
    done = run(heli, "-q", "--session", session, "--", sys.executable, "-c", show, "hi")
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) == os.getpid()
    assert until(lambda: heli.client.requests(f"session:{session}").requests)


def test_the_exit_code_passes_through(heli: RunningHeli) -> None:
    assert run(heli, "--", "sh", "-c", "exit 42").returncode == 42
    assert run(heli, "--", "sh", "-c", "kill -TERM $$").returncode == 143
    assert run(heli, "--", "no-such-program").returncode == 127
    assert run(heli, "sh", "-c", "exit 3").returncode == 3
    told = run(heli)
    assert (told.returncode, "heli run -- claude" in told.stderr) == (2, True)


def test_an_option_after_the_program_is_the_programs(heli: RunningHeli) -> None:
    done = run(heli, "--", "echo", "--session", "x", "-q")
    assert done.stdout == "--session x -q\n"
    assert run(heli, "--sesion", "x", "--", "true").returncode == 2


def test_java_is_captured_when_it_is_asked_for(heli: RunningHeli, standin: StandIn, tmp_path: Path) -> None:
    if shutil.which("javac") is None:
        pytest.skip("needs a JDK")
    source = tmp_path / "Ask.java"
    source.write_text("""
import java.net.URI;
import java.net.http.*;
public class Ask {
  public static void main(String[] words) throws Exception {
    String message = "{\\"role\\": \\"user\\", \\"content\\": \\"hi\\"}";
    String body = "{\\"model\\": \\"gpt-4o-mini\\", \\"messages\\": [" + message + "]}";
    HttpRequest question = HttpRequest.newBuilder(URI.create("https://api.openai.com/v1/chat/completions"))
      .header("Content-Type", "application/json").POST(HttpRequest.BodyPublishers.ofString(body)).build();
    HttpClient client = HttpClient.newHttpClient();
    System.out.println(client.send(question, HttpResponse.BodyHandlers.ofString()).statusCode());
    System.exit(0);
  }
}
""")
    session = uuid.uuid4().hex
    done = run(heli, "--java", "--session", session, "--", "java", str(source))
    assert done.stdout == "200\n", done.stderr
    row = until(lambda: heli.client.requests(f"session:{session}").requests)[0]
    assert row.session_name == session


def test_a_base_url_elsewhere_is_told_when_nothing_was_seen(heli: RunningHeli) -> None:
    done = run(heli, "--", "true", ANTHROPIC_BASE_URL="https://user:secret@llm.corp.example/v1?key=x")
    assert "heli: no call to a model was seen" in done.stderr
    assert "https://llm.corp.example/v1, which heli does not decrypt" in done.stderr
    assert "secret" not in done.stderr


def test_signals_reach_the_program_and_the_line_still_comes(heli: RunningHeli) -> None:
    waits = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(5)); "
    waits += "print('ready', flush=True); time.sleep(60)"
    process = subprocess.Popen(
        [*HELI, "run", "--", sys.executable, "-c", waits],
        env={**heli.environ, "PYTHONPATH": str(Path(__file__).parents[2])}, cwd=heli.home,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 5
    assert "heli: no call to a model was seen" in said


# Without a heli that can capture.


class Lonely:
    """A folder and ports of their own, where no heli runs."""

    def __init__(self, home: Path, ports: list[int]) -> None:
        self.home = home
        self.ports = dict(zip(PORTS, ports, strict=True))
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HELI_")},
            "HELI_HOME": str(home),
            **{f"HELI_PORTS__{name.upper()}": str(port) for name, port in self.ports.items()},
        }
        home.mkdir()


@pytest.fixture
def lonely(tmp_path: Path, free_ports: Callable[[int], list[int]]) -> Iterator[Lonely]:
    lonely = Lonely(tmp_path / "lonely", free_ports(len(PORTS)))
    yield lonely
    subprocess.run([*HELI, "down", "--now"], env=lonely.environ, capture_output=True, timeout=90, check=True)


def took(
    words: list[str], lonely: Lonely, **variables: str
) -> "tuple[float, subprocess.CompletedProcess[str]]":
    began = time.monotonic()
    done = subprocess.run(
        [*HELI, "run", *words], env={**lonely.environ, **variables},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return time.monotonic() - began, done


SHOW = ["--", "sh", "-c", 'echo "proxy=$HTTPS_PROXY" code; exit 4']


@pytest.fixture(params=["port taken", "folder", "settings"])
def hindered(request: pytest.FixtureRequest, lonely: Lonely) -> Iterator[Lonely]:
    """heli cannot start, for one reason or another."""
    if request.param == "port taken":
        with socket.create_server(("127.0.0.1", lonely.ports["intercept"])):
            yield lonely
    elif request.param == "folder":
        (lonely.home / "state").write_text("a file where a folder should be")
        yield lonely
        (lonely.home / "state").unlink()
    else:
        (lonely.home / "config.toml").write_text("nonsense = [")
        yield lonely
        (lonely.home / "config.toml").unlink()


def test_a_program_runs_without_a_heli_that_cannot_start(hindered: Lonely) -> None:
    seconds, done = took(SHOW, hindered)
    assert (done.returncode, done.stdout) == (4, "proxy= code\n")
    assert "the program runs without heli; its calls are not seen" in done.stderr
    assert "Traceback" not in done.stderr
    assert seconds < MOST_WAIT_S


def test_a_program_is_not_started_without_heli_where_that_is_asked(hindered: Lonely) -> None:
    seconds, done = took(["--no-fail-open", *SHOW], hindered)
    assert (done.returncode, done.stdout) == (6, "")
    assert "cannot be captured" in done.stderr
    assert seconds < MOST_WAIT_S


def test_the_dead_kit_of_a_shell_is_taken_off(hindered: Lonely) -> None:
    kit = {"HTTPS_PROXY": "http://run-dead1:x@127.0.0.1:1"}
    before = pack(kit, {"HTTPS_PROXY": "http://corporate:3128"})
    _, done = took(SHOW, hindered, **kit, **{BEFORE: before})
    assert done.stdout == "proxy=http://corporate:3128 code\n"


@pytest.mark.parametrize("home", ["$HELI_HOME", "elsewhere"])
def test_a_run_without_heli_inside_a_run_gets_what_was_before_both(lonely: Lonely, home: str) -> None:
    bare = {"HTTPS_PROXY": "http://corporate:3128", "no_proxy": "corp.example", "SSL_CERT_FILE": "/mine.pem"}
    nested = (
        f'set -e; {shlex.join(HELI)} down --now; export HELI_HOME="{home}" MORE=1; mkdir -p "$HELI_HOME"; '
        'echo "nonsense = [" >"$HELI_HOME/config.toml"; '
        f'{shlex.join(HELI)} run -- env -0; rm "$HELI_HOME/config.toml"'
    )
    subprocess.run([*HELI, "up", "-d"], env=lonely.environ, capture_output=True, timeout=90, check=True)
    done = subprocess.run(
        [*HELI, "run", "-q", "--", "sh", "-c", nested],
        env={**lonely.environ, **bare}, cwd=lonely.home.parent,
        capture_output=True, text=True, timeout=90, check=True,
    )  # fmt: skip
    assert "the program runs without heli" in done.stderr
    got = dict(word.split("=", 1) for word in done.stdout.split("\0") if word)
    shells = {name: got[name] for name in ("HELI_HOME", "MORE", "PWD", "OLDPWD", "SHLVL", "_") if name in got}
    assert got == {**lonely.environ, **bare, **shells}


def test_heli_is_started_for_a_run_and_stays(lonely: Lonely) -> None:
    _, done = took(["--", "sh", "-c", "echo hi; exit 4"], lonely)
    assert (done.returncode, done.stdout) == (4, "hi\n"), done.stderr
    first, *_, last = done.stderr.splitlines()
    assert first == "heli: starting in the background; `heli down` stops it"
    assert last == "heli: no call to a model was seen"
    again, done = took(["--", "true"], lonely)
    assert done.stderr == "heli: no call to a model was seen\n"
    assert again < 4


def test_a_dead_interceptor_is_waited_for_and_no_longer(lonely: Lonely) -> None:
    """The supervisor lives and its interceptor does not come back."""
    took(["-q", "--", "true"], lonely)
    status = subprocess.run(
        [*HELI, "status", "--json"], env=lonely.environ, capture_output=True, text=True, check=True
    )
    told = json.loads(status.stdout)
    victim = next(each["pid"] for each in told["processes"] if each["name"] == "intercept")
    until(lambda: time.time() - process_began(told["supervisor_pid"]) > 10.5)
    os.kill(victim, signal.SIGSTOP)
    try:
        seconds, done = took(SHOW, lonely)
        assert (done.returncode, done.stdout) == (4, "proxy= code\n")
        assert "the interceptor does not answer" in done.stderr
        assert seconds < MOST_WAIT_S
    finally:
        os.kill(victim, signal.SIGCONT)


def process_began(pid: int) -> float:
    return Path(f"/proc/{pid}").stat().st_mtime
