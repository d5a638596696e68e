"""The values of a filter on their way to ClickHouse: checked here, and bound by the server."""

import contextlib
import decimal
import reprlib
from decimal import Decimal
from typing import Any

from heli.schema.errors import UsageError

MAX_VALUE_BYTES = 32_768
"""Of all values together."""

_INT64 = 2**63
_SHOWN = reprlib.Repr(maxstring=80, maxother=80)


class Binder:
    """The parameters of one condition; equal values are bound only once."""

    def __init__(self) -> None:
        self.parameters: dict[str, Any] = {}
        self._names: dict[tuple[str, Any], str] = {}
        self._value_bytes = 0

    def bind(self, kind: str, value: Any) -> str:
        """The placeholder for a value of a ClickHouse type."""
        name = self._names.get((kind, value))
        if name is None:
            name = self._names[kind, value] = f"p{len(self.parameters)}"
            self.parameters[name] = value
            self._value_bytes += len(value.encode()) if isinstance(value, str) else 8
            if self._value_bytes > MAX_VALUE_BYTES:
                raise UsageError(f"the values of a filter have at most {MAX_VALUE_BYTES} bytes")
        return f"{{{name}:{kind}}}"

    def bind_text(self, value: Any, what: str) -> str:
        if not isinstance(value, str):
            raise UsageError(f"{what} is compared with text, not with {show(value)}")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"{what} is compared with {show(value)}, which is not text") from error
        return self.bind("String", value)

    def bind_number(self, value: Any, what: str) -> str:
        return self.bind_decimal(read_number(value, what))

    def bind_decimal(self, number: Decimal) -> str:
        if number == number.to_integral_value() and abs(number) < _INT64:
            return self.bind("Int64", int(number))
        return self.bind("Float64", float(number))


def read_number(value: Any, name: str) -> Decimal:
    """Numbers of JSON, and numbers in text; finite ones that a double can hold at least roughly."""
    number = Decimal("NaN")
    if isinstance(value, str) and len(value) <= 64:
        with contextlib.suppress(decimal.InvalidOperation):
            number = Decimal(value)
    elif isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e64:
        number = Decimal(repr(value))
    if not number.is_finite() or abs(number) >= Decimal("1e64"):
        raise UsageError(f"{name} is compared with a number, not with {show(value)}")
    return number


def show(value: Any) -> str:
    """The value for a message, cut when it is long."""
    try:
        return _SHOWN.repr(value)
    except ValueError:  # a number with so many digits that Python does not print it
        return f"a {type(value).__name__} that is too long to show"
