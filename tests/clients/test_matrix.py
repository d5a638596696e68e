"""The client matrix: programs as users write them, by `heli run` and by base URL.

Each prints just what it prints without heli, and its call is in the log with its tokens, cost and session.
"""

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from heli.cli.runs.traps import node_reads_proxy, node_version
from heli.schema.exchange import Outcome
from heli.schema.request import Request
from heli.schema.usage import CostState
from tests.clients.npm_packages import SDKS, install
from tests.clients.programs import MODELS, PAST_PROXIES, PROGRAMS, Program
from tests.clients.running_heli import RunningHeli
from tests.clients.waiting import until
from tests.standin import StandIn

HELI = (sys.executable, "-m", "heli")
KEYS = {
    "OPENAI_API_KEY": "sk-secret-of-the-user",
    "ANTHROPIC_API_KEY": "sk-ant-secret",
    "GOOGLE_API_KEY": "AIza-secret",
}
NOWHERE = "https://no-such-resource-of-a-heli-test.openai.azure.com/v1"
"""A host on the list that no name server knows: a program that passes heli by calls nobody."""


@pytest.fixture(scope="session")
def npm() -> Callable[[], Path]:
    return lambda: install(SDKS)


def base_urls(openai: str, anthropic: str, google: str) -> dict[str, str]:
    return {
        "OPENAI_BASE_URL": f"{openai}/v1",
        "ANTHROPIC_BASE_URL": anthropic,
        "GOOGLE_GEMINI_BASE_URL": google,
    }


def run(words: list[str], heli: RunningHeli, **variables: str) -> "subprocess.CompletedProcess[str]":
    """A program in the environment of the tests' heli."""
    return subprocess.run(
        words,
        env={**heli.environ, **KEYS, **variables},
        cwd=heli.home, capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip


def straight(words: list[str], heli: RunningHeli, standin: StandIn) -> str:
    """What the program prints without heli."""
    done = run(words, heli, **base_urls(standin.url, standin.url, standin.url))
    assert done.returncode == 0, done.stderr
    assert done.stdout
    return done.stdout


def check(row: Request, program: Program) -> None:
    model, cost = MODELS[program.provider]
    assert (row.model.startswith(model), row.status, row.outcome) == (True, 200, Outcome.COMPLETE)
    assert (row.usage.total_input_tokens, row.usage.total_output_tokens) == (1000, 50)
    assert (row.cost_state, row.cost_usd) == (CostState.EXACT, cost)


def newest(heli: RunningHeli, question: str) -> Request:
    """The only call that the filter finds, waited for."""
    found = until(lambda: heli.client.requests(question).requests)
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("how", ["whole", "stream"])
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name.replace(" ", "-"))
def test_by_heli_run(
    program: Program, how: str, npm: Callable[[], Path], heli: RunningHeli, standin: StandIn, tmp_path: Path
) -> None:
    words = program.command(npm, how, tmp_path)
    expected = straight(words, heli, standin)
    session = f"matrix-{uuid.uuid4().hex[:8]}"

    done = run([*HELI, "run", "--session", session, "--property", "row=matrix", "--", *words], heli)

    assert (done.returncode, done.stdout) == (0, expected), done.stderr
    row = newest(heli, f"session:{session}")
    check(row, program)
    assert (row.session_id, row.session_name, row.properties["row"]) == (session, session, "matrix")
    assert done.stderr.splitlines()[-1].startswith("heli: 1 call · 1,000 in · 50 out · $.")
    plain, captured = standin.journal()
    assert captured["target"].split("?")[0] == plain["target"].split("?")[0]
    assert captured["body_sha256"] == plain["body_sha256"]
    assert not any(name.startswith(("helicone", "heli-", "proxy")) for name in header_names(captured))


def header_names(entry: dict[str, object]) -> list[str]:
    return [name.lower() for name, _ in entry["headers"]]  # type: ignore[attr-defined]


@pytest.mark.parametrize("how", ["whole", "stream"])
@pytest.mark.parametrize(
    "program", [*PROGRAMS, PAST_PROXIES], ids=lambda program: program.name.replace(" ", "-")
)
def test_by_base_url(
    program: Program, how: str, npm: Callable[[], Path], heli: RunningHeli, standin: StandIn, tmp_path: Path
) -> None:
    words = program.command(npm, how, tmp_path)
    expected = straight(words, heli, standin)
    last = heli.client.requests("", limit=1).requests

    done = run(words, heli, **base_urls(heli.openai, heli.anthropic, heli.gateway))

    assert (done.returncode, done.stdout) == (0, expected), done.stderr
    row = after(heli, last)
    check(row, program)
    assert row.session_id == ""


def after(heli: RunningHeli, last: list[Request]) -> Request:
    """The call that came since."""
    known = last[0].id if last else None
    return until(lambda: next((r for r in heli.client.requests("", limit=1).requests if r.id != known), None))


def test_aiohttp_without_trust_env_passes_heli_by_and_the_user_is_told(
    heli: RunningHeli, npm: Callable[[], Path], tmp_path: Path
) -> None:
    words = PAST_PROXIES.command(npm, "whole", tmp_path)
    done = run([*HELI, "run", "--", *words], heli, OPENAI_BASE_URL=NOWHERE)
    assert done.returncode != 0
    assert "heli: no call to a model was seen" in done.stderr
    assert "trust_env=True" in done.stderr.splitlines()[-1]


def test_an_old_node_passes_heli_by_and_the_user_is_told(
    heli: RunningHeli, standin: StandIn, tmp_path: Path
) -> None:
    node = shutil.which("node")
    if node is None or node_reads_proxy(node_version(node, os.environ)):
        pytest.skip("needs a Node older than 22.21")
    done = run([*HELI, "run", "--", "node", "-e", f"fetch('{NOWHERE}')"], heli)
    assert done.returncode == 1
    assert "does not heed HTTPS_PROXY" in done.stderr.splitlines()[-1]
