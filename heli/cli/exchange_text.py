"""A call as it crossed the wire, as text: heads, bodies, or a curl command that makes it again."""

import shlex

from heli.cli.printable import block, line
from heli.client import ExchangeView, MessageView
from heli.schema.exchange import MASKED

NOT_SENT_AGAIN = {"host", "content-length", "connection", "accept-encoding", "transfer-encoding", "expect"}
KEYS = {"OPENAI": "OPENAI_API_KEY", "ANTHROPIC": "ANTHROPIC_API_KEY", "GOOGLE": "GEMINI_API_KEY"}
MASK = MASKED.decode()


def heads(exchange: ExchangeView) -> str:
    """Request line and headers, status line and headers."""
    return f"{_request_head(exchange)}\n{_response_head(exchange)}"


def raw(exchange: ExchangeView) -> str:
    """Both heads, each with its body; of a WebSocket its messages."""
    if exchange.messages is not None:
        told = "".join(_message(message) for message in exchange.messages)
        return f"{_request_head(exchange)}\n{_response_head(exchange)}\n{told}"
    sent = _body(exchange.request_body, exchange.request_body_base64, exchange.request_body_truncated)
    came = _body(exchange.response_body, exchange.response_body_base64, exchange.response_body_truncated)
    return f"{_request_head(exchange)}\n{sent}\n{_response_head(exchange)}\n{came}"


def curl(exchange: ExchangeView) -> str:
    """A shell command that makes the call again; masked secrets are read from variables."""
    key = KEYS.get(exchange.request.provider, "API_KEY")
    words = ["curl", "-X", exchange.method, _quote(f"{exchange.origin}{exchange.path}", key)]
    for name, value in exchange.request_headers:
        if name.lower() not in NOT_SENT_AGAIN:
            # The whole value is masked, with its scheme, which for keys is this one.
            scheme = "Bearer " if name.lower() == "authorization" and value == MASK else ""
            words += ["\\\n  -H", _quote(f"{name}: {scheme}{value}", key)]
    if exchange.request_body:
        words += ["\\\n  --data-raw", shell_quoted(exchange.request_body)]
    return " ".join(words) + "\n"


def _quote(text: str, key: str) -> str:
    """Quoted for the shell, a mask replaced by the variable of the key."""
    if MASK not in text:
        return shell_quoted(text)
    before, _, after = text.partition(MASK)
    return f'{shell_quoted(before)}"${key}"{shell_quoted(after) if after else ""}'


def shell_quoted(text: str) -> str:
    """Quoted for bash and zsh; what could steer a terminal is written as an escape."""
    if block(text) == text:
        return shlex.quote(text)
    escapes = {"\\": "\\\\", "'": "\\'", "\n": "\\n"}
    return "$'" + "".join(escapes.get(one) or _escape(one) for one in text) + "'"


def _escape(character: str) -> str:
    if block(character) == character:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x80 else f"\\U{code:08x}"


def _request_head(exchange: ExchangeView) -> str:
    host = exchange.origin.partition("://")[2]
    return (
        f"{line(exchange.method)} {line(exchange.path)}   {line(host)}\n{_headers(exchange.request_headers)}"
    )


def _response_head(exchange: ExchangeView) -> str:
    status = "no reply" if exchange.response_status is None else str(exchange.response_status)
    if exchange.upstream_status not in (None, exchange.response_status):
        status += f"   (the provider said {exchange.upstream_status})"
    if exchange.error:
        status += f"   {line(exchange.error)}"
    return f"{status}\n{_headers(exchange.response_headers)}"


def _headers(headers: list[tuple[str, str]]) -> str:
    return "".join(f"{line(name)}: {line(value)}\n" for name, value in headers)


def _message(message: MessageView) -> str:
    """`→ 1.204 {"type":"response.create",…}`: who spoke, the seconds since the connection began, what."""
    seconds = "     ?" if message.at_us is None else f"{message.at_us / 1e6:6.3f}"
    kind = "" if message.kind == "text" else f"[{message.kind}] "
    if message.text is None:
        shown = f"{message.bytes:,} bytes"
    else:
        shown = message.text if len(message.text.encode()) >= message.bytes - 2 else f"{message.text}…"
    return f"{'→' if message.is_client else '←'} {seconds} {kind}{line(shown)}\n"


def _body(text: str | None, base64: str | None, is_cut: bool) -> str:
    if text is None:
        return f"[not text, {len(base64) * 3 // 4:,} bytes]\n" if base64 else ""
    cut = "\n[the rest was not kept]" if is_cut else ""
    return block(text).rstrip("\n") + cut + "\n"
