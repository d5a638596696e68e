"""`heli statusline`: one line for a prompt, in a few hundredths of a second, whatever state heli is in."""

import json
import os
import select
import stat
import sys
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from heli.cli import quick_backend
from heli.schema.errors import ExitCode, UsageError

DEFAULT = "{session} session · {today} today · {in_flight} in flight"
WITHOUT_SESSION = "{today} today · {in_flight} in flight"
FIELDS = ("today", "session", "in_flight", "session_in_flight", "calls", "input_tokens", "output_tokens")
ANSWER_S = 0.05
STDIN_S = 0.01
"""An agent writes before it starts us; who writes nothing by then, will not."""
MOST_STDIN = 65_536


class Wishes(NamedTuple):
    """The options."""

    format: str = ""
    session: str = ""
    when_down: str = ""


OPTIONS = {f"--{name.replace('_', '-')}": name for name in Wishes._fields}


def read_quickly(arguments: Sequence[str]) -> Wishes | None:
    """The options of a plain command line; `None` for one that Typer had better read."""
    wishes: dict[str, str] = {}
    words = iter(arguments)
    for word in words:
        name, has_value, value = word.partition("=")
        if name not in OPTIONS:
            return None
        given = value if has_value else next(words, None)
        if given is None:
            return None
        wishes[OPTIONS[name]] = given
    return Wishes(**wishes)


def answer(wishes: Wishes) -> int:
    """Write the line. Raises `UsageError` for a format that cannot be."""
    line = make_line(wishes, os.environ)
    if line:
        sys.stdout.write(line + "\n")
    return ExitCode.OK


def make_line(wishes: Wishes, environ: Mapping[str, str]) -> str:
    """The line; what `--when-down` says when heli does not answer."""
    check_format(wishes.format)
    sessions = [wishes.session] if wishes.session else _sessions(environ)
    try:
        told = quick_backend.ask(
            quick_backend.find_backend(environ),
            "/v1/statusline",
            ANSWER_S,
            [("session", session) for session in sessions],
        )
        return fill(wishes.format, told)
    except quick_backend.NoAnswerError:
        return wishes.when_down


def check_format(text: str) -> None:
    import re

    for name in re.findall(r"\{([^{}]*)\}", text):
        if name not in FIELDS:
            known = ", ".join(f"{{{field}}}" for field in FIELDS)
            raise UsageError(f"a status line has no {{{name}}}", f"choose from {known}")


def fill(text: str, told: Mapping[str, Any]) -> str:
    """The format with the values in it; what is unknown is `?`."""
    from heli.cli import figures

    session = _liveliest(told.get("sessions") or [])
    spend = session.get("spend") or {}
    text = text or (DEFAULT if session else WITHOUT_SESSION)
    values = {
        "today": _about(told, "today_"),
        "session": "$0" if _is_new(session) else _about(spend),
        "in_flight": figures.count(told.get("in_flight")),
        "session_in_flight": figures.count(session.get("in_flight")),
        "calls": figures.count(spend.get("requests")),
        "input_tokens": figures.count(_sum(spend, "input_tokens", "cache_read_tokens", "cache_write_tokens")),
        "output_tokens": figures.count(_sum(spend, "output_tokens", "reasoning_tokens")),
    }
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def _liveliest(sessions: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The first of which there are calls: an agent's calls may count as its own session or as the run's."""
    for session in sessions:
        if session.get("in_flight") or (session.get("spend") or {}).get("requests"):
            return session
    return sessions[0] if sessions else {}


def _is_new(session: Mapping[str, Any]) -> bool:
    """Its first calls are in flight. One without any call is none that heli knows."""
    spend = session.get("spend") or {}
    return spend.get("requests") == 0 and bool(session.get("in_flight"))


def _about(told: Mapping[str, Any], which: str = "") -> str:
    """The sum, `~` before it where estimates are in it."""
    from heli.cli import figures

    cost_usd = told.get(f"{which}cost_usd")
    is_estimate = bool(told.get(f"{which}estimated_cost_requests"))
    return figures.about(None if cost_usd is None else Decimal(cost_usd), is_estimate)


def _sum(spend: Mapping[str, Any], *names: str) -> int | None:
    known = [spend[name] for name in names if spend.get(name) is not None]
    return sum(known) if known else None


def _sessions(environ: Mapping[str, str]) -> list[str]:
    """The run's session, then the one that an agent tells on standard input."""
    found = [environ.get("HELI_SESSION", ""), _session_on_stdin()]
    return list(dict.fromkeys(filter(None, found)))


def _session_on_stdin() -> str:
    """`session_id` of the JSON that Claude Code writes to a status line's input; empty without one."""
    try:
        told = json.loads(_read_stdin())
    except (OSError, ValueError, AttributeError):
        return ""
    session = told.get("session_id") if isinstance(told, dict) else None
    return session if isinstance(session, str) and len(session) <= 200 else ""


def _read_stdin() -> bytes:
    """What waits in a pipe. A terminal, a file or an idle pipe is left alone: it is not for us."""
    descriptor = sys.stdin.fileno()
    mode = os.fstat(descriptor).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return b""
    said = b""
    deadline = time.monotonic() + STDIN_S
    while len(said) < MOST_STDIN:
        readable, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        piece = os.read(descriptor, MOST_STDIN) if readable else b""
        if not piece:
            break
        said += piece
    return said
