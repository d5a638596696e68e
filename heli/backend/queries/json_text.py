"""JSON passed on as the text that it is, so that no number loses a digit and no key its order."""

import msgspec

_raw = msgspec.json.Decoder(msgspec.Raw)


def json_or_none(data: bytes | str) -> msgspec.Raw | None:
    """The JSON object or array that the data is; `None` when it is none, and would spoil an answer."""
    text = (data.encode(errors="replace") if isinstance(data, str) else data).strip()
    if text[:1] not in (b"{", b"["):
        return None
    try:
        text.decode()
        return _raw.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
