"""A request, or a call in flight, as one line of a list."""

import datetime
import re
from decimal import Decimal
from typing import Any

import msgspec

from heli.cli import figures
from heli.cli.printable import line
from heli.cli.sink import Shape
from heli.cli.table import Cell, Column
from heli.schema.exchange import Outcome
from heli.schema.live import LiveCall
from heli.schema.request import Request
from heli.schema.usage import Usage

ID_DIGITS = 6
PREVIEW = 200
RUNNING = "…"


class Row(msgspec.Struct, frozen=True):
    """What the list shows: a request that ended, or a call as far as it has come."""

    request: Request | None = None
    call: LiveCall | None = None
    now: datetime.datetime | None = None
    """The moment at which a call in flight is looked at."""

    @property
    def created_at(self) -> datetime.datetime:
        return (self.request or self._call).created_at

    @property
    def _call(self) -> LiveCall:
        assert self.call is not None
        return self.call


def short_id(request: Request | LiveCall) -> str:
    return request.id.hex[:ID_DIGITS]


def _time(row: Row) -> Cell:
    return Cell(figures.clock(row.created_at, datetime.datetime.now().astimezone().date()), "dim")


def _id(row: Row) -> Cell:
    return Cell(short_id(row.request or row._call))


def _status(row: Row) -> Cell:
    request = row.request
    if request is None:
        return Cell(str(row._call.status or RUNNING), "live")
    if request.status is None:
        return Cell("-", "bad")
    is_cut = request.outcome is not Outcome.COMPLETE
    style = "bad" if request.status >= 500 else "warn" if request.status >= 400 or is_cut else "good"
    return Cell(str(request.status), style)


def _model(row: Row) -> Cell:
    if row.request is None:
        return Cell(line(row._call.model) or RUNNING)
    request = row.request
    return Cell(line(request.model) or f"({line(request.operation)})", "" if request.model else "dim")


def _tokens(row: Row, count: int | None) -> Cell:
    if row.request is None:
        return Cell(RUNNING, "dim")
    return Cell(figures.count(count), "dim" if count is None else "")


def _input(row: Row) -> Cell:
    return _tokens(row, row.request.usage.total_input_tokens if row.request else None)


def _cached(row: Row) -> Cell:
    return _tokens(row, row.request.usage.cache_read_tokens if row.request else None)


def _output(row: Row) -> Cell:
    if row.request is None:
        estimate = row._call.output_tokens_estimate
        return Cell(RUNNING if estimate is None else f"~{estimate:,}", "live")
    return _tokens(row, row.request.usage.total_output_tokens)


def _cost(row: Row) -> Cell:
    if row.request is None:
        return Cell(RUNNING, "dim")
    text = figures.about(row.request.cost_usd, row.request.cost_state == "estimated")
    return Cell(text, "dim" if row.request.cost_usd is None else "")


def _first_token(row: Row) -> Cell:
    ttft_ms = (row.request or row._call).time_to_first_token_ms
    return Cell("-" if ttft_ms is None else figures.duration(ttft_ms), "dim" if ttft_ms is None else "")


def _took(row: Row) -> Cell:
    if row.request is not None:
        return Cell(figures.duration(row.request.duration_ms))
    now = row.now or datetime.datetime.now(datetime.UTC)
    ran_ms = max(0.0, (now - row.created_at).total_seconds() * 1000)
    return Cell(figures.duration(max(ran_ms, 100.0)), "live")


def _session(row: Row) -> Cell:
    record = row.request or row._call
    name = row.request.session_name if row.request else ""
    return Cell(line(session_title(name, record.session_id, record.session_path)), "dim")


def session_title(name: str, session_id: str, path: str) -> str:
    """`fix-login/tests`: the session's name, else its id; and the place in it."""
    told = name or _short_session(session_id)
    place = path.strip("/")
    return f"{told}/{place}" if place and told else told or place


def _short_session(session_id: str) -> str:
    """A UUID by its beginning; a thread, `thread-7f3a91`, by the first call of it."""
    if _UUID.fullmatch(session_id):
        return session_id[:8]
    thread = _THREAD.fullmatch(session_id)
    return f"thread-{thread[1]}" if thread else session_id


LEAST_SESSION = 12
SESSION_WIDTH = 24
_THREAD = re.compile(r"thread-[0-9a-f]{12}-([0-9a-f]{6})")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def _what(row: Row) -> Cell:
    if row.request is None:
        return Cell(line(f"▍{row._call.preview}"), "live")
    return Cell(line(summary(row.request)), "bad" if row.request.error_class else "")


def summary(request: Request) -> str:
    """What the call was about, in a few words: the error, or question and answer."""
    problem = request.error_class or ("" if request.outcome is Outcome.COMPLETE else str(request.outcome))
    if problem:
        return f"{problem}: {request.error_message}"[:PREVIEW] if request.error_message else problem
    answer = request.response_preview
    if request.tool_calls and not answer.startswith("⚒"):
        answer = f"⚒ {', '.join(dict.fromkeys(request.tool_calls))}"
    both = [part for part in (request.request_preview, answer) if part]
    return " → ".join(part[:PREVIEW] for part in both)


COLUMNS = (
    Column("time", _time, rank=1),
    Column("id", _id),
    Column("st", _status, width=3),
    Column("model", _model, width=22, least=12, most=32),
    Column("in", _input, is_right=True, width=7, rank=3),
    Column("cached", _cached, is_right=True, width=7, rank=6),
    Column("out", _output, is_right=True, width=6, rank=2),
    Column("cost", _cost, is_right=True, width=8),
    Column("ttft", _first_token, is_right=True, width=5, rank=7),
    Column("took", _took, is_right=True, width=5, rank=1),
    Column("session", _session, width=LEAST_SESSION, least=LEAST_SESSION, most=SESSION_WIDTH, rank=5),
    Column("what", _what, is_elastic=True),
)

FLAT = (
    "created_at", "id", "status", "outcome", "provider", "operation", "model",
    "usage.total_input_tokens", "usage.cache_read_tokens", "usage.total_output_tokens",
    "cost_usd", "cost_state", "time_to_first_token_ms", "duration_ms",
    "session_id", "session_path", "agent_name", "user_id", "error_class", "summary",
)  # fmt: skip


def request_tree(request: Request) -> dict[str, Any]:
    """All fields of a request, with the totals that follow from its ledger."""
    tree: dict[str, Any] = msgspec.to_builtins(request, builtin_types=(Decimal,))
    usage = request.usage
    tree["usage"] |= {
        "total_input_tokens": usage.total_input_tokens,
        "total_output_tokens": usage.total_output_tokens,
        "total_tokens": usage.total_tokens,
    }
    tree["summary"] = summary(request)
    return tree


def known_fields() -> dict[str, Any]:
    """Every field of `request_tree`, without values."""
    tree: dict[str, Any] = dict.fromkeys(Request.__struct_fields__)
    totals = ("total_input_tokens", "total_output_tokens", "total_tokens")
    tree["usage"] = dict.fromkeys([*Usage.__struct_fields__, *totals])
    tree["summary"] = None
    return tree


def _row_tree(row: Row) -> dict[str, Any]:
    assert row.request is not None
    return request_tree(row.request)


def _row_id(row: Row) -> str:
    assert row.request is not None
    return str(row.request.id)


SHAPE = Shape[Row](columns=COLUMNS, tree=_row_tree, flat=FLAT, id=_row_id, known=known_fields)
