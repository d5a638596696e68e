"""What a captured exchange means: who was asked what, what came back, what it used and what it cost."""

import datetime
from decimal import Decimal

import msgspec

from heli.providers import previews
from heli.providers.agents import NO_MARKS, AgentMarks, read_agent
from heli.providers.charging import Charge, expected_charge
from heli.providers.encoding import arrival_us, decode_body
from heli.providers.endings import as_heard
from heli.providers.failures import read_failure
from heli.providers.formats.format import Answer
from heli.providers.formats.opaque import Opaque
from heli.providers.json_values import Json, as_text, encode_json, field
from heli.providers.part_prices import price_parts
from heli.providers.previews import word
from heli.providers.price_doubts import find_price_doubt
from heli.providers.pricing.price_book import PriceBook
from heli.providers.reading import Reading, read_exchange
from heli.providers.recognition import recognise
from heli.providers.sockets.turn import SocketTurn
from heli.providers.threads import NO_THREAD, Thread, thread_of
from heli.providers.token_estimate import estimate_input, estimate_output
from heli.providers.told_elsewhere import complete_answer
from heli.providers.tool_uses import ToolUses, tool_uses
from heli.schema.conversation import Conversation
from heli.schema.exchange import Exchange, Outcome
from heli.schema.usage import Cost, CostState, Usage


class Interpretation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The meaning of an exchange; most fields are those of `heli.schema.request.Request`."""

    provider: str
    outcome: Outcome
    """The exchange's, but `COMPLETE` where the caller hung up after a stream's last word."""
    operation: str = "other"
    request_model: str = ""
    response_model: str = ""
    path_model: str = ""
    is_streaming: bool = False
    usage: Usage = Usage()
    provider_usage: str = ""
    cost: Cost = Cost(state=CostState.UNKNOWN, reason="not interpreted")
    finish_reason: str = ""
    error_class: str = ""
    error_message: str = ""
    provider_request_id: str = ""
    service_tier: str = ""
    rate_limits: dict[str, str] = {}
    request_preview: str = ""
    response_preview: str = ""
    request_text: str = ""
    response_text: str = ""
    tool_calls: list[str] = []
    time_to_first_token_us: int | None = None
    """After the first byte of the request; `None` for replies that were not streamed."""
    request_body: bytes = b""
    """Without its encodings, as it was decoded anyway; so the reply's. Empty for what is no HTTP body."""
    response_body: bytes = b""
    body_user: str = ""
    agent: AgentMarks = NO_MARKS
    thread: Thread = NO_THREAD
    tools: ToolUses = ToolUses()
    interpret_error: str = ""


_COUNTED = frozenset({"chat", "completion", "response", "embedding"})
"""Operations whose tokens heli counts itself when nobody else did."""

UNTOLD = "the provider may have got the call, and told no usage: whether it was billed is not known"

_PRICED = _COUNTED | {"realtime"}
"""Operations that heli can price by tokens, whoever counted them."""

_MOST_USAGE = 64 * 1024


def interpret(exchange: Exchange, prices: PriceBook, model_override: str = "") -> Interpretation:
    """What can be read of an exchange. Never raises: where it fails, `interpret_error` says why.

    `model_override` is the caller's own word for the model, for its price.
    """
    try:
        return _interpret(exchange, prices, model_override)
    except Exception as error:  # noqa: BLE001 - whatever a provider sends, the record must be stored
        return Interpretation(
            provider=recognise(exchange).provider,
            outcome=exchange.outcome,
            cost=Cost(state=CostState.UNKNOWN, reason="the exchange could not be interpreted"),
            request_body=decode_body(exchange.request_headers, exchange.request_body),
            response_body=decode_body(exchange.response_headers, exchange.response_body),
            interpret_error=f"{type(error).__name__}: {error}"[:500],
        )


def _interpret(exchange: Exchange, prices: PriceBook, model_override: str) -> Interpretation:
    reading = read_exchange(exchange)
    exchange = as_heard(exchange, reading.stream)
    format = reading.format
    asked = format.read_request(reading.request, exchange.path)
    told = format.read_answer(reading.reply, reading.provider)
    answer = complete_answer(told, asked, reading, exchange)
    conversation = format.read_conversation(reading.request, reading.reply)
    error_class, error_message = read_failure(exchange, reading.reply)
    charge = _charge(exchange, reading, answer, error_class)
    counted = _Counted(exchange, reading, answer, conversation, charge)
    request_model, response_model, path_model = map(word, (asked.model, answer.model, reading.path_model))
    service_tier = word(answer.service_tier or reading.headers.service_tier)
    marks = read_agent(exchange.request_headers, reading.request)
    connection = exchange.connection if isinstance(exchange, SocketTurn) else ""
    previous_id = as_text(field(reading.request, "previous_response_id"))
    models = [word(model_override), response_model, request_model, path_model]
    if reading.provider == "BEDROCK":
        models.insert(1, path_model)  # it names the region too, which has its price
    return Interpretation(
        provider=reading.provider,
        outcome=exchange.outcome,
        operation=format.operation,
        request_model=request_model,
        response_model=response_model,
        path_model=path_model,
        is_streaming=asked.is_streaming
        or (reading.stream is not None and format.operation != "batch_results"),
        usage=counted.usage,
        provider_usage=_usage_text(answer.provider_usage, reading),
        cost=_price(exchange, prices, reading, answer, counted, models, service_tier),
        finish_reason=word(answer.finish_reason),
        error_class=error_class,
        error_message=error_message,
        provider_request_id=word(reading.headers.request_id or answer.reply_id),
        service_tier=service_tier,
        rate_limits=reading.headers.rate_limits,
        request_preview=previews.request_preview(conversation),
        response_preview=previews.response_preview(conversation),
        request_text=previews.request_text(conversation),
        response_text=previews.response_text(conversation),
        tool_calls=previews.tool_names(conversation),
        time_to_first_token_us=_first_token_us(exchange, reading),
        request_body=reading.request_body,
        response_body=reading.response_body,
        body_user=word(asked.user),
        agent=marks,
        thread=thread_of(conversation, marks, answer.reply_id, previous_id, connection),
        tools=tool_uses(conversation),
        interpret_error="; ".join(reading.troubles),
    )


def _usage_text(usage: Json, reading: Reading) -> str:
    text = "" if usage is None else encode_json(usage)
    if len(text) > _MOST_USAGE:
        reading.troubles.append("the usage object is too large to keep")
        return ""
    return text


def _charge(exchange: Exchange, reading: Reading, answer: Answer, error_class: str) -> Charge:
    """What the provider asks for. Usage that it told counts, whatever became of the call."""
    if reading.format.is_free:
        return Charge.NOTHING
    if answer.usage.total_tokens or answer.reported_cost_usd:
        return Charge.USAGE
    return expected_charge(exchange, reading.provider, error_class)


class _Counted:
    """The ledger, completed by heli's own count where the provider did not get to tell."""

    def __init__(
        self,
        exchange: Exchange,
        reading: Reading,
        answer: Answer,
        conversation: Conversation,
        charge: Charge,
    ) -> None:
        self.usage = answer.usage
        self.charge = charge
        self.why_estimated = ""
        is_pending = answer.is_pending and reading.stream is None
        if reading.format.operation not in _COUNTED or is_pending or charge is not Charge.USAGE:
            return
        is_cut = not answer.is_complete and (reading.stream is not None or reading.reply is None)
        if answer.usage.total_tokens is not None and not is_cut:
            return
        if reading.reply is None and (exchange.response_body or exchange.bodies_dropped):
            return  # what came cannot be read
        self._estimate(answer, conversation, is_cut, reading.format.operation)

    def _estimate(self, answer: Answer, conversation: Conversation, is_cut: bool, operation: str) -> None:
        known = answer.usage
        visible, thinking = estimate_output(conversation.reply)
        changes: dict[str, int | None] = {}
        if known.total_input_tokens is None:
            if not conversation.messages and not conversation.system:
                return
            changes["input_tokens"] = estimate_input(conversation)
        if operation != "embedding" and (known.total_output_tokens is None or is_cut):
            # A stream that was cut has told at most what it had used when it last told.
            if conversation.reply or not is_cut or known.output_tokens is not None:
                told = known.output_tokens or 0
                if known.reasoning_tokens is None:  # then what was told includes it
                    told = max(0, told - thinking)
                changes["output_tokens"] = max(visible, told)
            if thinking or known.reasoning_tokens:
                changes["reasoning_tokens"] = max(thinking, known.reasoning_tokens or 0)
        if not changes:
            return
        self.usage = msgspec.structs.replace(known, **changes)
        counted = "input and output" if "input_tokens" in changes else "output"
        why = "the reply broke off" if is_cut else "the provider reported no usage"
        self.why_estimated = f"{why}: {counted} counted by heli"


def _price(
    exchange: Exchange,
    prices: PriceBook,
    reading: Reading,
    answer: Answer,
    counted: _Counted,
    models: list[str],
    service_tier: str,
) -> Cost:
    when = datetime.datetime.fromtimestamp(exchange.started_ns // 1_000_000_000, datetime.UTC)
    if counted.charge is Charge.NOTHING:
        return Cost(state=CostState.FREE, total_usd=Decimal(0), price_date=when.date())
    if counted.charge is Charge.UNTOLD:
        return Cost(state=CostState.UNKNOWN, price_date=when.date(), reason=UNTOLD)
    if reading.format.operation not in _PRICED and _is_untold(counted.usage):
        is_read = not isinstance(reading.format, Opaque)
        reason = f"heli does not read the usage of operation {reading.format.operation!r}"
        reason = "the provider reported no usage" if is_read else reason
        return Cost(state=CostState.UNKNOWN, price_date=when.date(), reason=reason)
    doubts = (counted.why_estimated, answer.doubt, find_price_doubt(exchange))
    estimated = "; ".join(filter(None, doubts))
    if answer.billed and not counted.why_estimated:
        parts = answer.billed
        return price_parts(
            prices, reading.provider, models, parts, when, tier=service_tier, estimated=estimated
        )
    return prices.price(
        reading.provider,
        models,
        counted.usage,
        when,
        tier=service_tier,
        speed=word(answer.speed),
        estimated=estimated,
        factor=answer.price_factor,
        reported_usd=answer.reported_cost_usd,
    )


def _is_untold(usage: Usage) -> bool:
    return usage.total_tokens is None and not usage.server_tool_uses


def _first_token_us(exchange: Exchange, reading: Reading) -> int | None:
    if reading.stream is None:
        return None
    begins = reading.format.begins_answer
    offset = next((event.end for event in reading.stream.events if begins(event)), None)
    if offset is None:
        return None
    return arrival_us(reading.headers.encodings, exchange.response_body, exchange.response_chunks, offset)


def rebuild_reply(exchange: Exchange) -> Json:
    """The whole reply as the provider's own object without streaming, also from a part of a stream.

    `None` when there is no reply, or it is not JSON.
    """
    try:
        return read_exchange(exchange).reply
    except Exception:  # noqa: BLE001 - the raw body is there to be looked at instead
        return None


def read_conversation(exchange: Exchange) -> Conversation:
    """Who said what; empty when the exchange is in no format that heli reads."""
    try:
        reading = read_exchange(exchange)
        return reading.format.read_conversation(reading.request, reading.reply)
    except Exception:  # noqa: BLE001 - the raw body is there to be looked at instead
        return Conversation()
