"""What is wrong with the words of a command line, in heli's words instead of Typer's."""

import enum
import re
from collections.abc import Sequence
from typing import Any

from heli.cli.commands import COMMANDS, suggest
from heli.schema.errors import UsageError

_EXTRA = re.compile(r"Got unexpected extra argument\(s\) \((.*)\)", re.DOTALL)
_NO_COMMAND = re.compile(r"No such command '(.*?)'\..*", re.DOTALL)
_NO_VALUE = re.compile(r"Option '(.*)' requires an argument\.")
_USELESS_VALUE = re.compile(r"Option '(.*)' does not take a value\.")
_LONGEST = 18
"""Digits of a number."""


def reworded(error: Any, arguments: Sequence[str]) -> UsageError:
    """The same complaint; `error` is one of Typer's exceptions, whose classes are private."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context else " ".join(["heli", *arguments[:1]])
    hint = f"see `{path} --help`"
    message = error.format_message().replace("Value error, ", "")
    if hasattr(error, "possibilities"):
        return UsageError(f"there is no option {error.option_name}{_nearest(error)}", hint)
    if hasattr(error, "param_type") and error.param is not None:
        return UsageError(f"{_name(error.param)} is missing", hint)
    if extra := _EXTRA.fullmatch(message):
        return UsageError(f"there is nothing to do with {extra[1]!r}", f"leave it out, or {hint}")
    if command := _NO_COMMAND.fullmatch(message):
        known = list(getattr(context.command, "commands", {})) if context else list(COMMANDS)
        told = f"`{path}` has no command {command[1]!r}{suggest(command[1], known)}"
        return UsageError(told, f"choose from {', '.join(known)}; {hint}")
    if message.startswith("Missing command") and context:
        known = list(context.command.commands or COMMANDS)
        return UsageError(f"`{path}` wants a command", f"choose from {', '.join(known)}; {hint}")
    if option := _NO_VALUE.fullmatch(message):
        return UsageError(f"{option[1]} wants a value after it", hint)
    if option := _USELESS_VALUE.fullmatch(message):
        return UsageError(f"{option[1]} takes no value", hint)
    return UsageError(message[:1].lower() + message[1:].rstrip("."), hint)


def read_number(text: str, param: Any) -> int:
    """A whole number within the bounds that the option was declared with. Raises `UsageError`."""
    least, most = param.type_descriptor.parameter_info.min, param.type_descriptor.parameter_info.max
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        told = f"{_name(param)}: {text[:60]!r} is no whole number"
        raise UsageError(told, f"write it like {_name(param)} 4")
    number = int(text[:_LONGEST])
    if least is not None and number < least:
        raise UsageError(f"{_name(param)}: {number} is too little", f"give {_bounds(least, most)}")
    if len(text) > _LONGEST or (most is not None and number > most):
        raise UsageError(f"{_name(param)}: {text[:60]} is too much", f"give {_bounds(least, most)}")
    return number


def read_choice(text: str, param: Any, kind: type[enum.StrEnum]) -> enum.StrEnum:
    """One of the words that an option takes. Raises `UsageError`."""
    known = [str(one) for one in kind]
    if text not in known:
        told = f"{_name(param)}: {text[:60]!r} is none of its words{suggest(text, known)}"
        raise UsageError(told, f"choose from {', '.join(known)}")
    return kind(text)


def _nearest(error: Any) -> str:
    return f"; did you mean {' or '.join(error.possibilities[:2])}?" if error.possibilities else ""


def _name(param: Any) -> str:
    """`--limit`, or what help calls an argument."""
    if param.param_type_name == "option":
        return str(max(param.opts, key=len))
    return str(param.metavar or param.name.upper()).strip("[]")


def _bounds(least: int | None, most: int | None) -> str:
    if most is None:
        return f"{least} or more"
    return f"a number from {least} to {most}" if least is not None else f"at most {most}"
