"""The calls that an exchange stands for: itself, or a turn for each response that its WebSocket carried."""

from collections.abc import Sequence

import msgspec

from heli.providers.sockets.turn import SocketTurn, turn_id
from heli.providers.sockets.turns import Turn, TurnSplitter, messages_of
from heli.schema.exchange import Exchange, Outcome


def calls_of(exchange: Exchange) -> Sequence[Exchange]:
    """The calls that an exchange stands for: itself, or the turns of its WebSocket. Never raises."""
    is_whole = not exchange.is_websocket or isinstance(exchange, SocketTurn)
    return (exchange,) if is_whole else split_socket(exchange)


def find_call(exchange: Exchange, call_id: bytes) -> Exchange:
    """The call with that id; the exchange itself when none of its calls has it."""
    return next((call for call in calls_of(exchange) if call.id == call_id), exchange)


def split_socket(exchange: Exchange) -> list[SocketTurn]:
    """The turns of a connection, at least one. Never raises. The same bytes always make the same turns."""
    try:
        return _split(exchange)
    except Exception as error:  # noqa: BLE001 - whatever crossed the wire, the record must be stored
        return [_whole(exchange, "unread", f"{type(error).__name__}: {error}"[:300])]


def _split(exchange: Exchange) -> list[SocketTurn]:
    if exchange.bodies_dropped:
        return [_whole(exchange, "unread", "")]
    path = exchange.path.partition("?")[0].rstrip("/")
    if not path.endswith(("/responses", "/realtime")):
        return [_whole(exchange, "unread", "")]
    troubles: list[str] = []
    splitter = TurnSplitter(exchange)
    for sided in messages_of(exchange, troubles):
        splitter.take(sided)
    splitter.finish()
    troubles += _losses(exchange, splitter)
    trouble = "; ".join(troubles)
    if not splitter.turns:
        return [_whole(exchange, "unread" if trouble or splitter.is_billed else "unanswered", trouble)]
    turns = [_as_exchange(exchange, splitter, number) for number in range(len(splitter.turns))]
    if trouble:
        turns[-1] = msgspec.structs.replace(turns[-1], trouble=trouble)
    return turns


def _losses(exchange: Exchange, splitter: TurnSplitter) -> list[str]:
    losses = []
    kept = len(exchange.request_body) + len(exchange.response_body)
    passed = exchange.request_body_bytes + exchange.response_body_bytes
    if kept < passed:
        losses.append(f"only {kept:,} of the WebSocket's {passed:,} bytes were kept")
    if splitter.overflow:
        losses.append(f"{splitter.overflow:,} more responses on this WebSocket were not told apart")
    return losses


def _whole(exchange: Exchange, protocol: str, trouble: str) -> SocketTurn:
    """The connection as one row."""
    known = {name: getattr(exchange, name) for name in Exchange.__struct_fields__}
    return SocketTurn(**known, protocol=protocol, trouble=trouble, has_ended=False)


def _as_exchange(exchange: Exchange, splitter: TurnSplitter, number: int) -> SocketTurn:
    turn = splitter.turns[number]
    request, response = turn.request_body(), turn.body
    start_us = turn.started_us
    outcome, error = _outcome(exchange, splitter, turn)
    ended_us = turn.ended_us if turn.is_ended else exchange.end_us
    known = {name: getattr(exchange, name) for name in Exchange.__struct_fields__}
    known |= {
        "id": turn_id(exchange.id, number),
        "started_ns": exchange.started_ns + start_us * 1000,
        "outcome": outcome,
        "error": error,
        "request_body": request,
        "request_body_bytes": turn.request_bytes,
        "request_chunks": [(0, turn.request_bytes)],
        "response_status": turn.status or exchange.response_status,
        "response_body": response,
        "response_body_bytes": turn.response_bytes,
        "response_chunks": turn.chunks,
        "request_end_us": 0,
        "first_byte_us": None if turn.first_us is None else max(0, turn.first_us - start_us),
        "end_us": None if ended_us is None else max(0, ended_us - start_us),
    }
    protocol = "warm_up" if turn.is_warm_up else "realtime" if splitter.is_realtime else "responses"
    return SocketTurn(
        **known,
        protocol=protocol,
        audio_bytes=turn.audio_bytes,
        has_ended=turn.is_ended,
        connection=exchange.id.hex(),
    )


def _outcome(exchange: Exchange, splitter: TurnSplitter, turn: Turn) -> tuple[Outcome, str | None]:
    """How one response ended: by itself, or with its connection."""
    if turn.is_ended:
        return Outcome.COMPLETE, None
    is_cut = len(exchange.response_body) < exchange.response_body_bytes
    if exchange.outcome is not Outcome.COMPLETE or exchange.end_us is None or is_cut:
        return exchange.outcome, exchange.error
    left = Outcome.UPSTREAM_ERROR if splitter.closed_by_client is False else Outcome.CLIENT_ABORTED
    return left, "the WebSocket was closed before the response had ended"
