"""Filter terms that begin with a minus, `-user:alice`, which a command line would take for options."""

from collections.abc import Sequence
from typing import Any

from typer.core import TyperCommand

COMPARISONS = ":=!<>"


class FilterCommand(TyperCommand):
    """A command that takes a filter, and options beside it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        # Any: Typer's own type for `ctx` is private.
        return super().parse_args(ctx, spell_out(args))


def spell_out(words: Sequence[str]) -> list[str]:
    """`-user:alice` as `not user:alice`, which means the same; options stay, as does all after `--`."""
    end = words.index("--") if "--" in words else len(words)
    spelled = [f"not {word[1:]}" if is_negated_term(word) else word for word in words[:end]]
    return [*spelled, *words[end:]]


def is_negated_term(word: str) -> bool:
    """Whether it is a term of the filter language turned round, and no option."""
    if not word.startswith("-") or word.startswith("--"):
        return False
    term = word[1:]
    if term.startswith(("(", '"')):
        return True
    at = next((at for at, letter in enumerate(term) if letter in COMPARISONS), 0)
    if not at:
        return False
    from heli.schema.filter import find_field

    name = term[:at].split(".")[0]
    return find_field(term[:at]) is not None or find_field(name) is not None


def join_filter(words: Sequence[str] | None) -> str:
    """The filter that the words make together. Raises `FilterError`, here already, when it does not parse."""
    text = " ".join(words or [])
    if text:
        from heli.schema.filter import parse

        parse(text)
    return text
