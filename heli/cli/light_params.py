"""Typer 0.29 loads pydantic to check even a plain string, which takes longer than all the rest of a start.

Values that need no conversion are passed on as they are, numbers and words of a list are read here; anything
else is left to Typer. The seam is a private attribute of Typer's: where it is missing, nothing changes but
the speed and the words of complaints.
"""

import enum
from types import SimpleNamespace
from typing import Any

from heli.cli import wrong_words

SEAM = "_runtime_param"


class LightParam:
    """Stands in for Typer's conversion until a value comes that needs it."""

    def __init__(self, annotation: Any) -> None:
        self._annotation = annotation

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        is_many = param.multiple or param.nargs == -1
        if value is None:
            return () if is_many else None
        if not is_many and type(value) is self._annotation:
            return value
        if is_many and self._annotation == list[str] and not isinstance(value, str):
            return list(value)
        if not is_many and isinstance(value, str):
            if self._annotation is int:
                return wrong_words.read_number(value, param)
            if isinstance(self._annotation, type) and issubclass(self._annotation, enum.StrEnum):
                return wrong_words.read_choice(value, param, self._annotation)
        setattr(param, SEAM, None)
        return param.get_runtime_param().coerce(value, param=param, ctx=ctx)


def lighten(command: Any, help_names: list[str]) -> Any:
    """The same command, quicker; with those below it. `help_names` are those of its help option."""
    help_option = command.get_help_option(SimpleNamespace(help_option_names=help_names))
    for param in [*command.params, help_option]:
        if getattr(param, SEAM, 0) is None:
            setattr(param, SEAM, LightParam(param.type_descriptor.annotation))
    for below in getattr(command, "commands", {}).values():
        lighten(below, help_names)
    return command
