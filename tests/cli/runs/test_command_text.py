"""A command line is kept without its secrets, and named as people name it."""

import shlex

import pytest

from heli.cli.runs.command_text import MOST_CHARS, mask_command, name_of


@pytest.mark.parametrize(
    ("command", "kept"),
    [
        ("python app.py --verbose", "python app.py --verbose"),
        ("tool --api-key abc123 next", "tool --api-key *** next"),
        ("tool --api-key=abc123", "tool --api-key=***"),
        ("tool --openai-api-key abc", "tool --openai-api-key ***"),
        ("tool --password=x --max-tokens 5", "tool --password=*** --max-tokens 5"),
        ("tool --max-tokens=5 --stop-token x", "tool --max-tokens=5 --stop-token x"),
        ("env OPENAI_API_KEY=sk-x A_SECRET_KEY=y claude", "env OPENAI_API_KEY=*** A_SECRET_KEY=*** claude"),
        ("curl -H 'Authorization: Bearer abc' https://x", "curl -H 'Authorization: ***' https://x"),
        ("curl -H 'x-api-key: abc'", "curl -H 'x-api-key: ***'"),
        ("curl -u me:pw https://x", "curl -u me:*** https://x"),
        ("curl https://me:pw@host/p", "curl https://***@host/p"),
        ("curl 'https://host/p?key=abc&n=1'", "curl 'https://host/p?key=***&n=1'"),
        ("run sk-ant-REDACTED", "run ***"),
        ("run 'say ghp_0123456789abcdefghijk now'", "run 'say *** now'"),
        ("run AIzaSyA1234567890123456789012345", "run ***"),
        ("claude -p 'what is a token'", "claude -p 'what is a token'"),
    ],
)  # fmt: skip
def test_secrets_are_masked_and_nothing_else(command: str, kept: str) -> None:
    assert mask_command(shlex.split(command)) == kept


def test_a_long_command_is_cut() -> None:
    kept = mask_command(["say", "word " * 1000])
    assert len(kept) == MOST_CHARS
    assert kept.endswith("…")


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("claude -p hi", "claude"),
        ("/usr/bin/python3.13 -u src/app.py x", "app.py"),
        ("python -m pytest -q", "pytest"),
        ("python -c 'print(1)' x", "python"),
        ("node --test agent.js", "agent.js"),
        ("node -e 1", "node"),
        ("npx codex", "codex"),
        ("bash", "bash"),
        ("/opt/tool", "tool"),
    ],
)
def test_a_run_is_named_for_what_runs(command: str, name: str) -> None:
    assert name_of(shlex.split(command)) == name
