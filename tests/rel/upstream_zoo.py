"""The ways in which a provider can misbehave, each a scenario or a script for the stand-in."""

from typing import Any

type Shape = dict[str, Any]

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"


def _drops() -> dict[str, Shape]:
    places = ("before_head", "mid_head", "after_head", "mid_body", "at_end")
    return {f"{how} {place}": {"drop": place, "drop_with": how} for place in places for how in ("rst", "fin")}


SCENARIOS: dict[str, Shape] = {
    **_drops(),
    "rst in a body until the close": {"drop": "mid_body", "framing": "close"},
    "rst in a compressed body": {"drop": "mid_body", "encoding": "gzip"},
    "hangs up before it reads": {"early": True, "framing": "empty"},
    "answers before it reads": {"early": True, "status": 413},
    "stalls before the head": {"stall_s": 30, "stall_at": "head"},
    "stalls in the body": {"stall_s": 30},
    "stalls before the end": {"stall_s": 30, "stall_at": "end", "framing": "chunked"},
    "too short": {"framing": "wrong_length"},
    "too long": {"framing": "short_length"},
    "a chunk size that is none": {"framing": "bad_chunk"},
    "a chunk cut off": {"framing": "cut_chunk"},
    "no last chunk": {"framing": "no_last_chunk"},
    "garbage": {"framing": "garbage"},
    "a status that is none": {"framing": "bad_status"},
    "a version that is none": {"framing": "bad_version"},
    "nothing at all": {"framing": "empty"},
    "HTTP/1.0": {"framing": "http10"},
    "until the close": {"framing": "close"},
    "a drip": {"chunks": 30, "interval_ms": 5},
    "many interim replies": {"informational": [103] * 20},
    "500": {"status": 500},
    "429": {"status": 429, "retry_after": 3},
    "529": {"status": 529},
    "204": {"status": 204},
    "a big line": {"body_bytes": 8_000_000, "framing": "chunked"},
}
"""Whatever the direct call sees, the call through the gateway must see."""

REFUSED: dict[str, Shape] = {
    "two lengths": {"framing": "two_lengths"},
    "a negative length": {"framing": "negative_length"},
    "a length and chunks": {"framing": "length_and_chunked"},
    "an unknown transfer coding": {"framing": "unknown_coding"},
    "a header without a colon": {"framing": "bad_header"},
    "a zero byte in a header": {"framing": "nul_header"},
    "a head of 1 MiB": {"framing": "huge_head"},
}
"""What clients disagree about: the gateway refuses it, with a 502, whatever a client would make of it."""

SCRIPTS: dict[str, list[Shape]] = {
    "a head byte by byte": [
        *({"write": bytes([byte])} for byte in HEAD + b"content-length: 2\r\n\r\n"),
        {"write": b"{}"},
    ],
    "a chunk longer than it says": [{"write": CHUNKED + b"2\r\nabcdef\r\n0\r\n\r\n"}, {"close": "fin"}],
    "an endless chunk size": [{"write": CHUNKED + b"f" * 40 + b"\r\nabc\r\n0\r\n\r\n"}, {"close": "fin"}],
    "a trailer that is none": [{"write": CHUNKED + b"1\r\na\r\n0\r\nno colon\r\n\r\n"}, {"close": "fin"}],
    "gzip that is none": [
        {"write": HEAD + b"content-encoding: gzip\r\ncontent-length: 5\r\n\r\nplain"},
    ],
    "hangs up after an orderly reply": [
        {"write": HEAD + b"content-length: 2\r\n\r\n{}"},
        {"close": "fin"},
    ],
    "resets after an orderly reply": [
        {"write": HEAD + b"content-length: 2\r\n\r\n{}"},
        {"pause_ms": 30},
        {"close": "rst"},
    ],
    "an interim reply and then nothing": [
        {"write": b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"},
        {"close": "fin"},
    ],
}

REFUSED_SCRIPTS: dict[str, list[Shape]] = {
    "bare line feeds": [
        {"write": HEAD.replace(b"\r\n", b"\n") + b"content-length: 2\n\n{}"},
        {"close": "fin"},
    ],
    "a bare carriage return": [
        {"write": HEAD + b"x-a: b\rc\r\ncontent-length: 2\r\n\r\n{}"},
        {"close": "fin"},
    ],
    "a folded header": [{"write": HEAD + b"x-a: b\r\n c\r\ncontent-length: 2\r\n\r\n{}"}, {"close": "fin"}],
}

WEBSOCKET: dict[str, Shape] = {
    "401 to the handshake": {"status": 401},
    "500 to the handshake": {"status": 500},
    "rst before the handshake": {"drop": "before_head"},
    "fin before the handshake": {"drop": "before_head", "drop_with": "fin"},
    "garbage for a handshake": {"status": 400, "framing": "garbage"},
    "rst in a frame": {"drop": "mid_body"},
    "fin in a frame": {"drop": "mid_body", "drop_with": "fin"},
    "frames that are none": {"framing": "bad_chunk"},
    "a stall": {"stall_s": 30},
    "many frames": {"frames": 200, "frame_bytes": 2000},
    "one big frame": {"frames": 1, "frame_bytes": 3_000_000},
}
