"""What is wrong with a filter, and at which character."""

import unicodedata

from heli.schema.errors import UsageError

_WINDOW = 60
"""How many characters are shown on either side of the place."""


class FilterError(UsageError):
    """A filter that cannot be understood. The message ends in the filter with a caret under `position`."""

    code = "bad_filter"

    def __init__(self, text: str, position: int, problem: str, hint: str = "") -> None:
        super().__init__(f"{problem}\n{point_at(text, position)}", hint)
        self.text = text
        self.position = position
        """The index of the character, from 0; the length of the text when something is missing at its end."""
        self.problem = problem


def point_at(text: str, position: int) -> str:
    """The line of text around a position, and a line with a caret under it, both indented by two blanks."""
    start, end = max(0, position - _WINDOW), position + _WINDOW
    before, after = _visible(text[start:position]), _visible(text[position:end])
    if start > 0:
        before = "…" + before
    if end < len(text):
        after += "…"
    return f"  {before}{after}\n  {' ' * _width(before)}^"


def _visible(text: str) -> str:
    return "".join(c if unicodedata.category(c)[0] not in "CZ" else " " for c in text)


def _width(text: str) -> int:
    """Columns on a terminal: wide characters take two, combining marks none."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )
