"""Agents from npm against the stand-in, by `heli run` and by base URL. Run by `make test-agents`.

They are installed as they are today, so this says whether heli works with what users have.
"""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from heli.schema.exchange import Outcome
from heli.schema.request import Request
from tests.clients.npm_packages import AGENTS, install
from tests.clients.running_heli import RunningHeli
from tests.clients.waiting import until
from tests.standin import StandIn

pytestmark = [pytest.mark.agents, pytest.mark.timeout(900)]

SAYS = "All is well, says the stand-in."
HELI = (sys.executable, "-m", "heli")


@pytest.fixture(scope="session")
def agents() -> Path:
    folder = install(AGENTS)
    setup = folder / "node_modules/@anthropic-ai/claude-code/install.cjs"
    node = folder / "node_modules/.bin/node"
    if setup.exists():  # npm may leave out what packages want to run at their installation
        subprocess.run([node, setup], check=True, timeout=120, capture_output=True)
    return folder


@pytest.fixture
def run(agents: Path, heli: RunningHeli, tmp_path: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run an agent in a home of its own, with no settings of whoever runs the tests."""

    def run(words: list[str], **variables: str) -> "subprocess.CompletedProcess[str]":
        home = tmp_path / uuid.uuid4().hex
        work = home / "work"
        work.mkdir(parents=True)
        environ = {
            name: value
            for name, value in heli.environ.items()
            if not name.startswith(("CLAUDE", "ANTHROPIC", "OPENAI", "CODEX"))
        }
        environ |= {
            "HOME": str(home),
            "CODEX_HOME": str(home),
            "CLAUDE_CONFIG_DIR": str(home / "claude"),
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "PATH": f"{agents}/node_modules/.bin{os.pathsep}{environ['PATH']}",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "ANTHROPIC_API_KEY": "sk-ant-secret",
            "OPENAI_API_KEY": "sk-secret",
            "CODEX_API_KEY": "sk-secret",
        }
        done = subprocess.run(
            words, env=environ | variables, cwd=work, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{heli.logs()}"
        return done

    return run


def prompt(**usage: int) -> str:
    asked = {"tools": False, "text": SAYS, "usage": usage}
    return f"Say that all is well. [[standin {json.dumps(asked)}]]"


CLAUDE = ["claude", "-p", prompt(input_tokens=1000, output_tokens=50), "--model", "claude-haiku-4-5"]
CLAUDE_COST = Decimal("0.00125")  # 1,000 × $1 and 50 × $5 a million


def calls_of(heli: RunningHeli, question: str) -> list[Request]:
    """The calls to a model that the filter finds, waited for; what else an agent asks is left out."""

    def look() -> list[Request]:
        found = heli.client.requests(question, limit=100).requests
        return [row for row in found if row.operation in ("chat", "response")]

    return until(look)


def newer(heli: RunningHeli, model: str, known: set[uuid.UUID]) -> list[Request]:
    return until(lambda: [row for row in calls_of(heli, f"model:{model}*") if row.id not in known])


def check_claude(rows: list[Request]) -> None:
    for row in rows:
        assert (row.status, row.outcome) == (200, Outcome.COMPLETE)
        assert (row.usage.total_input_tokens, row.usage.total_output_tokens) == (1000, 50)
        assert row.cost_usd == CLAUDE_COST


def test_claude_code_by_heli_run(run: Callable, heli: RunningHeli, standin: StandIn) -> None:
    straight = run(CLAUDE, ANTHROPIC_BASE_URL=standin.url).stdout
    session = f"claude-{uuid.uuid4().hex[:6]}"

    done = run([*HELI, "run", "--session", session, "--property", "row=agents", "--", *CLAUDE])

    assert done.stdout == straight == f"{SAYS}\n"
    rows = calls_of(heli, "prop.row:agents")
    check_claude(rows)
    assert {row.session_id for row in rows} == {session}
    assert {row.agent_program for row in rows} == {"claude-code"}
    assert "heli: " in done.stderr.splitlines()[-1]
    assert "$" in done.stderr.splitlines()[-1]


def test_claude_code_by_base_url(run: Callable, heli: RunningHeli, standin: StandIn) -> None:
    straight = run(CLAUDE, ANTHROPIC_BASE_URL=standin.url).stdout
    known = {row.id for row in heli.client.requests("model:claude-haiku*", limit=1000).requests}

    done = run(CLAUDE, ANTHROPIC_BASE_URL=heli.anthropic)

    assert done.stdout == straight == f"{SAYS}\n"
    check_claude(newer(heli, "claude-haiku", known))


CODEX_COST = Decimal("0.00175")  # 1,000 × $1.25 and 50 × $10 a million


def codex(url: str = "") -> list[str]:
    asked = prompt(input_tokens=1000, output_tokens=50, total_tokens=1050)
    provider = (
        f'model_providers.x={{name="x",base_url="{url}/v1",env_key="OPENAI_API_KEY",wire_api="responses"}}'
    )
    options = ["-c", provider, "-c", 'model_provider="x"'] if url else []
    return ["codex", "exec", *options, "--skip-git-repo-check", "-m", "gpt-5", asked]


def test_codex_by_heli_run(run: Callable, heli: RunningHeli, standin: StandIn) -> None:
    """It speaks by WebSocket to the provider that it knows itself."""
    straight = run(codex(standin.url)).stdout
    session = f"codex-{uuid.uuid4().hex[:6]}"

    done = run([*HELI, "run", "--session", session, "--property", "row=codex", "--", *codex()])

    assert done.stdout == straight == f"{SAYS}\n"
    rows = calls_of(heli, "prop.row:codex")
    for row in rows:
        assert (row.status, row.outcome) == (101, Outcome.COMPLETE)
        assert (row.usage.total_input_tokens, row.usage.total_output_tokens) == (1000, 50)
        assert row.cost_usd == CODEX_COST
    assert {row.session_id for row in rows} == {session}
    assert {row.agent_program for row in rows} == {"codex"}
    sockets = [entry for entry in standin.journal() if entry["method"] == "GET"]
    assert sockets
    assert all(entry["target"].startswith("/v1/responses") for entry in sockets)


def test_codex_by_base_url(run: Callable, heli: RunningHeli, standin: StandIn) -> None:
    straight = run(codex(standin.url)).stdout
    known = {row.id for row in heli.client.requests("model:gpt-5*", limit=1000).requests}

    done = run(codex(heli.openai))

    assert done.stdout == straight == f"{SAYS}\n"
    for row in newer(heli, "gpt-5", known):
        assert row.status == 200
        assert (row.usage.total_input_tokens, row.usage.total_output_tokens) == (1000, 50)
        assert row.cost_usd == CODEX_COST
