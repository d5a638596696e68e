"""What a request cost, in tokens, dollars and time: the lines under a conversation."""

from decimal import Decimal

from heli.cli import figures
from heli.cli.printable import clip, line
from heli.cli.request_rows import session_title, short_id
from heli.schema.request import Request
from heli.schema.usage import BILLED_UNITS

TITLES = {
    "input_tokens": "input",
    "cache_read_tokens": "cache read",
    "cache_write_5m_tokens": "cache write 5m",
    "cache_write_1h_tokens": "cache write 1h",
    "input_audio_tokens": "audio in",
    "input_image_tokens": "image in",
    "cache_read_audio_tokens": "cached audio",
    "output_tokens": "output",
    "reasoning_tokens": "reasoning",
    "output_audio_tokens": "audio out",
    "output_image_tokens": "image out",
}
"""The ledger's counts in the order of telling."""
PROVIDERS = {
    "OPENAI": "OpenAI",
    "ANTHROPIC": "Anthropic",
    "GOOGLE": "Google",
    "GROQ": "Groq",
    "MISTRAL": "Mistral",
}
"""As their owners write them; others as the log does."""
TOLD_ELSEWHERE = frozenset(
    {"Helicone-Session-Id", "Helicone-Session-Name", "Helicone-Session-Path", "run", "commit"}
)
"""Properties that the headline leaves out: it tells the session and the branch, and JSON tells everything."""
LONGEST_PROPERTY = 60


def headline(request: Request) -> str:
    """`7f3a9c · claude-sonnet-4-5 · Anthropic · 2026-11-23 14:02:13 · session fix-login/2`."""
    provider = PROVIDERS.get(request.provider, request.provider)
    when = f"{request.created_at.astimezone():%Y-%m-%d %H:%M:%S}"
    facts = [short_id(request), request.model or request.operation, provider, when]
    if request.session_id or request.session_name:
        named = request.session_name or request.session_id  # whole, to be asked for again
        facts.append(f"session {session_title(named, '', request.session_path)}")
    if request.agent_name or request.agent_id:
        facts.append(f"agent {request.agent_name or request.agent_id}")
    if request.user_id:
        facts.append(f"user {request.user_id}")
    told = [(name, value) for name, value in sorted(request.properties.items()) if name not in TOLD_ELSEWHERE]
    facts += [f"{name} {clip(value, LONGEST_PROPERTY)}" for name, value in told]
    return line(" · ".join(filter(None, facts)))


def facts(request: Request) -> list[tuple[str, str]]:
    """`(title, text)` of each line. Empty ones are left out, but never tokens and cost."""
    lines = [
        ("status", _status(request)),
        ("tokens", tokens(request)),
        ("cost", cost(request)),
        ("time", times(request)),
        ("provider", _provider(request)),
        ("note", _notes(request)),
    ]
    return [(title, line(text)) for title, text in lines if text]


def tokens(request: Request) -> str:
    known = [
        f"{title} {count:,}"
        for name, title in TITLES.items()
        if (count := getattr(request.usage, name)) is not None
    ]
    uses = [_use(tool, count) for tool, count in request.usage.server_tool_uses.items()]
    return " · ".join(known + uses) or "?"


def _use(tool: str, count: int) -> str:
    return f"{tool.replace('_', ' ')} {count:,}" if tool in BILLED_UNITS else f"{tool} used {count:,}×"


def cost(request: Request) -> str:
    if request.cost_usd is None:
        return f"?   {request.cost_reason or 'the price is not known'}"
    parts = [figures.exact_money(part) for part in _parts(request)]
    total = figures.exact_money(request.cost_usd)
    text = f"{' + '.join(parts)} = {total}" if len(parts) > 1 else total
    facts = [
        str(request.cost_state),
        f"{request.price_source} {request.price_date or ''}".strip(),
        request.cost_reason,
    ]
    return f"{text}   {', '.join(fact for fact in facts if fact)}"


def _parts(request: Request) -> list[Decimal]:
    """In the order of the tokens."""
    known = dict(request.cost_parts_usd)
    ordered = [known.pop(name) for name in TITLES if name in known]
    return ordered + list(known.values())


def times(request: Request) -> str:
    facts = []
    if request.time_to_first_token_ms is not None:
        facts.append(f"first token {figures.duration(request.time_to_first_token_ms)}")
    facts.append(f"took {figures.duration(request.duration_ms)}")
    if speed := tokens_per_second(request):
        facts.append(f"{speed:,.0f} tokens/s")
    if request.is_streaming and request.chunk_count:
        facts.append(f"{request.chunk_count:,} chunks")
    return " · ".join(facts)


def tokens_per_second(request: Request) -> float | None:
    """How fast the reply came once it had begun; `None` when that cannot be known."""
    output, ttft_ms, duration_ms = (
        request.usage.total_output_tokens,
        request.time_to_first_token_ms,
        request.duration_ms,
    )
    if not output or ttft_ms is None or duration_ms is None or duration_ms - ttft_ms < 1:
        return None
    return output / (duration_ms - ttft_ms) * 1000


def _status(request: Request) -> str:
    """Only told when something is remarkable."""
    if not request.error_class and request.outcome == "complete" and (request.status or 0) < 400:
        return ""
    status = str(request.status) if request.status is not None else "no status"
    return " · ".join(
        filter(None, [status, request.error_class or str(request.outcome), request.error_message])
    )


def _provider(request: Request) -> str:
    facts = [request.provider_request_id]
    if request.service_tier:
        facts.append(f"tier {request.service_tier}")
    if remaining := _remaining(request.rate_limits):
        facts.append(f"remaining {', '.join(remaining)}")
    if request.finish_reason:
        facts.append(f"finish {request.finish_reason}")
    return "  ".join(fact for fact in facts if fact)


def _remaining(limits: dict[str, str]) -> list[str]:
    """`3,998 requests`, from headers such as `x-ratelimit-remaining-requests`."""
    found = []
    for name, value in limits.items():
        if "remaining" in name:
            what = name.replace("x-ratelimit-", "").replace("anthropic-ratelimit-", "")
            what = what.replace("remaining", "").strip("-").replace("-", " ")
            found.append(
                f"{int(value):,} {what}" if value.isascii() and value.isdigit() else f"{value} {what}"
            )
    return found


def _notes(request: Request) -> str:
    notes = []
    if request.interpret_error:
        notes.append(f"not wholly understood: {request.interpret_error}")
    if request.bodies_omitted:
        notes.append(f"not kept: {request.bodies_omitted}")
    return " · ".join(notes)
