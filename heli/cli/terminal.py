"""What the terminal can do and what its user wants: colour, width, how much to tell."""

import os
import shutil
import sys
from collections.abc import Mapping
from enum import StrEnum
from typing import TextIO


class Color(StrEnum):
    """What `--color` takes."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class _Wishes:
    """The two flags that hold for the whole process; set by the command root and by `--color`."""

    color = Color.AUTO
    verbosity = 0


def wish_color(color: Color) -> None:
    _Wishes.color = color


def wish_verbosity(count: int) -> None:
    _Wishes.verbosity = count


def is_verbose(level: int = 1) -> bool:
    return level <= _Wishes.verbosity


def wants_color(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Decide as no-color.org, force-color.org and bixense.com/clicolors say; the flag wins."""
    if _Wishes.color is not Color.AUTO:
        return _Wishes.color is Color.ALWAYS
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR", "0") != "0" or environ.get("CLICOLOR_FORCE", "0") != "0":
        return True
    if environ.get("CLICOLOR") == "0" or environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


def can_redraw(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether lines may be drawn over."""
    return stream.isatty() and environ.get("TERM", "dumb") != "dumb"


def width() -> int:
    """Columns of the terminal; `COLUMNS` wins."""
    return shutil.get_terminal_size((100, 24)).columns


UNBOUNDED = 10_000
"""Columns where nothing is wrapped or clipped: in a pipe."""


def text_width(stream: TextIO) -> int:
    """Columns for text that goes there."""
    return width() if stream.isatty() else UNBOUNDED


def real_size(stream: TextIO) -> tuple[int, int]:
    """Columns and lines that the terminal has now, whatever `COLUMNS` says: for drawing over lines."""
    try:
        size = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        return width(), 24
    return size.columns or 80, size.lines or 24


STYLES = {
    "good": "32",
    "warn": "33",
    "bad": "31",
    "live": "36",
    "dim": "2",
    "strong": "1",
    "": "",
}


def paint(text: str, style: str, is_colored: bool) -> str:
    """Text in one of the styles; colour never carries a meaning alone."""
    code = STYLES[style]
    return f"\x1b[{code}m{text}\x1b[0m" if is_colored and code and text else text


def for_people(text: str, stream: TextIO) -> str:
    """The text, on a terminal wrapped between words; further lines are as far in as the first."""
    if not stream.isatty():
        return text
    from heli.cli.printable import beside

    lines = [(one[: len(one) - len(one.lstrip())], one.strip()) for one in text.split("\n")]
    return "".join(beside(lead, told, width()) for lead, told in lines).removesuffix("\n")


def say(text: str) -> None:
    """Talk: progress, hints, warnings; never data."""
    if sys.stderr is not None:  # it is where the descriptor was closed before the start
        sys.stderr.write(for_people(text, sys.stderr) + "\n")
        sys.stderr.flush()
