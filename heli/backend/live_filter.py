"""Whether a call in flight may be one that a filter lets through: yes, no, or it cannot be told yet.

A field counts as far as it is known: provider, model, path, user, session, properties and the like from the
beginning, the status once the reply has begun, what only the end tells (costs, tokens, words) not at all. A
condition on what is not known neither holds nor fails. Only a call whose filter certainly fails is kept back.
The request log has the last word, when the call has ended.
"""

import datetime
import re
from collections.abc import Callable, Mapping
from typing import Any

from heli.backend.ingest.attribution import read_attribution
from heli.backend.ingest.own_session import own_session
from heli.backend.queries.filter_columns import TABLE
from heli.backend.queries.filter_sql import operands
from heli.providers.agents import read_agent
from heli.schema.exchange import Exchange
from heli.schema.filter import Node
from heli.schema.live import LiveCall

type Known = Mapping[str, Any]
"""`{column of the request log: value}` of a call in flight; a column that is not known is not there."""

NOTHING: Known = {}

_USER_KEY = re.compile(rb'"(?:user|user_id|safety_identifier)"\s*:')


def find_known(exchange: Exchange, call: LiveCall, before: Known) -> Known:
    """What there is to know now; `before` is what this told earlier of the same call."""
    said = read_attribution(exchange.request_headers)
    session = own_session(said, read_agent(exchange.request_headers, None))
    known: dict[str, Any] = {
        "request_id": str(exchange.request_id),
        "request_created_at": call.created_at,
        "provider": call.provider,
        "origin": exchange.origin,
        "listener": exchange.listener.value,
        "path": exchange.path,
        "method": exchange.method,
        "prompt_id": said.prompt_id,
        "properties": session.properties,
    }
    if session.id:  # else the body may tell, or an earlier call
        known |= {"session_id": session.id, "session_name": session.name, "session_path": session.path}
    if said.user_id or not _may_name_user(exchange.request_body):
        known["user_id"] = said.user_id
    if call.status is not None:
        known["http_status"] = call.status
    if call.model:
        known["model"] = call.model
    if "request_model" in before:
        known["request_model"] = before["request_model"]
    elif call.model and call.status is None and not said.model_override:
        known["request_model"] = call.model  # No answer has told another one yet.
    return known


def _may_name_user(body: bytes) -> bool:
    """JSON tells its keys; anything else may hold what it likes."""
    return not body.startswith((b"{", b"[")) or _USER_KEY.search(body) is not None


def may_match(node: Node, known: Known) -> bool:
    """Whether the filter lets the call through, or may do so. The filter must be one that `to_sql` takes."""
    return _decide(node, known) is not False


def _decide(node: Any, known: Known) -> bool | None:
    if node == "all" or node == {}:
        return True
    if "left" not in node:
        return _all(_decide_table(table, fields, known) for table, fields in node.items())
    operator = node["operator"]
    decided = [_decide(operand, known) for operand in operands(node, operator)]
    if operator == "and":
        return _all(decided)
    return True if True in decided else (None if None in decided else False)


def _all(decided: Any) -> bool | None:
    found = list(decided)
    return False if False in found else (None if None in found else True)


def _decide_table(table: str, fields: Mapping[str, Any], known: Known) -> bool | None:
    if table != TABLE or len(fields) != 1:
        return None
    ((column, condition),) = fields.items()
    if column == "property_key":
        ((operator, name),) = condition.items()
        return (name in known["properties"]) == (operator == "equals") if "properties" in known else None
    if column == "properties" and column in known:
        ((key, condition),) = condition.items()
        return _compare(known[column].get(key, ""), condition, is_property=True)
    return _compare(known[column], condition) if column in known else None


def _compare(value: Any, condition: Mapping[str, Any], is_property: bool = False) -> bool | None:
    ((operator, wanted),) = condition.items()
    positive = operator.removeprefix("not-")
    if positive == "equals" and wanted in ("null", "__empty__") and not is_property:
        holds: bool | None = wanted == "__empty__" and value == ""
    elif isinstance(value, str) and isinstance(wanted, str):
        holds = _compare_text(value, positive, wanted)
    else:
        holds = _compare_size(value, positive, wanted)
    return holds if holds is None or positive == operator else not holds


def _compare_text(value: str, operator: str, wanted: str) -> bool | None:
    match operator:
        case "equals":
            return value == wanted
        case "contains":
            return wanted.lower() in value.lower()
        case "like":
            return is_like(value, wanted)
        case "ilike":
            return is_like(value.lower(), wanted.lower())
    return None


_SIZES: dict[str, Callable[[Any, Any], bool]] = {
    "equals": lambda value, wanted: value == wanted,
    "gt": lambda value, wanted: value > wanted,
    "gte": lambda value, wanted: value >= wanted,
    "lt": lambda value, wanted: value < wanted,
    "lte": lambda value, wanted: value <= wanted,
}


def _compare_size(value: Any, operator: str, wanted: Any) -> bool | None:
    if isinstance(value, datetime.datetime) and isinstance(wanted, str):
        wanted = datetime.datetime.fromisoformat(wanted)
    compare = _SIZES.get(operator)
    return None if compare is None else compare(value, wanted)


def is_like(text: str, pattern: str) -> bool:
    """SQL's LIKE for patterns of `%` and escaped characters; takes time by length, whatever the pattern."""
    first, *rest = _pieces(pattern)
    if not rest:
        return text == first
    *middle, last = rest
    if not text.startswith(first) or len(text) < len(first) + len(last) or not text.endswith(last):
        return False
    place, end = len(first), len(text) - len(last)
    for piece in middle:
        place = text.find(piece, place, end)
        if place < 0:
            return False
        place += len(piece)
    return True


def _pieces(pattern: str) -> list[str]:
    """What stands between the `%`."""
    pieces, is_escaped = [""], False
    for character in pattern:
        if character == "\\" and not is_escaped:
            is_escaped = True
            continue
        if character == "%" and not is_escaped:
            pieces.append("")
        else:
            pieces[-1] += character
        is_escaped = False
    return pieces
