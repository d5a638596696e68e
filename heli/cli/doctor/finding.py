"""One thing that was looked at, and what to do about it."""

import enum

import msgspec


class State(enum.StrEnum):
    GOOD = "good"
    NOTE = "note"
    """Worth knowing; nothing to mend."""
    FINDING = "finding"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of one thing."""

    about: str
    """`ports`, `folders`, `store`, …"""
    state: State
    message: str
    fix: str = ""
    """The next thing to try; empty when there is nothing to mend."""


def good(about: str, message: str) -> Finding:
    return Finding(about=about, state=State.GOOD, message=message)


def note(about: str, message: str, fix: str = "") -> Finding:
    return Finding(about=about, state=State.NOTE, message=message, fix=fix)


def finding(about: str, message: str, fix: str) -> Finding:
    return Finding(about=about, state=State.FINDING, message=message, fix=fix)
