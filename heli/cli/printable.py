"""Captured text is data: what could steer a terminal or reorder a line is shown, not sent."""

import unicodedata

_STEERING = [
    *range(0x20),
    *range(0x7F, 0xA0),
    0x061C,  # Arabic letter mark
    *range(0x200B, 0x2010),  # zero-width characters and direction marks
    *range(0x2028, 0x202F),  # line and paragraph separators, bidi embeddings and overrides
    *range(0x2060, 0x2070),  # invisible operators, bidi isolates
    0xFEFF,
    *range(0xD800, 0xE000),  # lone surrogates cannot even be encoded
    *range(0xE0000, 0xE0080),  # invisible tag characters
]
_KEPT = frozenset({0x200D, 0x200C})
"""Joiners: part of emoji and of several scripts, and without power over the terminal."""


def _picture(code: int) -> str:
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"<U+{code:04X}>"


LEAST_BESIDE = 20
"""Columns that a text gets beside its lead, however narrow the terminal is."""
_BLOCK = {code: _picture(code) for code in _STEERING if code not in _KEPT and code != 0x0A}
_BLOCK[0x09] = "    "
_LINE = _BLOCK | dict.fromkeys((0x09, 0x0A, 0x0D), " ")


_JSON = {code: f"\\u{code:04x}" for code in _STEERING if 0x7F <= code < 0x10000}
_JSON |= {
    code: f"\\u{0xD800 + (code - 0x10000 >> 10):04x}\\u{0xDC00 + (code - 0x10000 & 0x3FF):04x}"
    for code in _STEERING
    if code >= 0x10000
}


def escaped(json_text: str) -> str:
    """The same JSON with what could steer a terminal written as escapes."""
    return json_text if json_text.isascii() else json_text.translate(_JSON)


def block(text: str) -> str:
    """Text of several lines, harmless; line ends are kept."""
    return text.replace("\r\n", "\n").translate(_BLOCK)


def line(text: str) -> str:
    """Text as one line, harmless; line ends and tabs become blanks."""
    return text.translate(_LINE)


def cells(text: str) -> int:
    """How many columns a text takes."""
    if text.isascii():
        return len(text)
    return sum(_cells(character) for character in text)


def _cells(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fitting(text: str, start: int, columns: int) -> int:
    """Where the part ends that begins at `start` and takes at most so many columns."""
    used = 0
    for place in range(start, len(text)):
        used += _cells(text[place])
        if used > columns:
            return place
    return len(text)


def clip(text: str, columns: int) -> str:
    """At most so many columns, `…` where text was cut."""
    if cells(text) <= columns:
        return text
    if columns <= 0:
        return ""
    return text[: fitting(text, 0, columns - 1)] + "…"


def pad(text: str, columns: int, is_right: bool = False) -> str:
    """Exactly so many columns: clipped, or filled with blanks."""
    text = clip(text, columns)
    blanks = " " * (columns - cells(text))
    return blanks + text if is_right else text + blanks


def wrapped(text: str, columns: int) -> list[str]:
    """Lines broken between words. A word that is longer than a line stays whole, so that it can be copied."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if lines[-1] and cells(longer) > columns:
            lines.append(word)
        else:
            lines[-1] = longer
    return [one.rstrip() for one in lines]


def beside(lead: str, text: str, columns: int) -> str:
    """`lead` with the text wrapped beside it, each further line as far in; ends with a line end."""
    indent = cells(lead)
    first, *rest = wrapped(text, max(LEAST_BESIDE, columns - indent))
    return "".join(
        f"{one}\n" for one in [f"{lead}{first}".rstrip(), *(f"{' ' * indent}{more}" for more in rest)]
    )
