"""What the text of a query says, as far as an HTTP interface must know it before the engine runs it.

An INSERT carries its data behind its text, in the same body; and the format of an answer is told in a header.
"""

import re

import msgspec

TOKEN = re.compile(
    rb"""\s+ | --[^\n]*\n? | \#!?\s[^\n]*\n? | /\*.*?\*/
    | '(?:[^'\\]|\\.|'')*' | "(?:[^"\\]|\\.)*" | `(?:[^`\\]|\\.)*`
    | \w+ | .""",
    re.VERBOSE | re.DOTALL,
)
FORMAT_AT_END = re.compile(r"\bFORMAT\s+(\w+)\s*(?:SETTINGS\s[^'\"]*)?;?\s*$", re.IGNORECASE)
MAX_INSERT_HEAD = 262_144
"""Where to give up looking for the end of an INSERT's text."""


class Insert(msgspec.Struct, frozen=True):
    """An INSERT that brings its own data."""

    text: str
    """Up to, not including, `FORMAT`."""
    format: str
    data_at: int
    """Where the data begins in the body that was looked at."""


def find_insert(body: bytes) -> Insert | None:
    """The INSERT with data that a body begins with; `None` for every other statement.

    `INSERT … SELECT` and `INSERT … VALUES` bring no separate data: the engine reads them as they are.
    """
    depth = 0
    words = 0
    at = 0
    end = min(len(body), MAX_INSERT_HEAD)
    while at < end and (match := TOKEN.match(body, at)):
        token = match[0]
        word = token.upper() if token[:1].isalpha() else b""
        if word:
            words += 1
            if words == 1 and word != b"INSERT":
                return None
            if depth == 0 and word in {b"SELECT", b"VALUES", b"WITH", b"INFILE", b"WATCH"}:
                return None
            if depth == 0 and word == b"FORMAT":
                return _with_format(body, at, match.end())
        elif words == 0 and not (token.isspace() or token.startswith((b"--", b"#", b"/*"))):
            return None
        depth += (token == b"(") - (token == b")")
        at = match.end()
    return None


def _with_format(body: bytes, text_end: int, at: int) -> Insert | None:
    """`at` is behind the word FORMAT; the data begins after the format's name and one line end."""
    if not (match := re.compile(rb"\s+(\w+)[ \t]*(?:;?[ \t]*\r?\n)?").match(body, at)):
        return None
    if match[1].upper() == b"VALUES":
        return None
    return Insert(body[:text_end].decode(), match[1].decode(), match.end())


def answer_format(text: str, default: str) -> str:
    """The format in which a query asks to be answered."""
    match = FORMAT_AT_END.search(text)
    return match[1] if match else default
