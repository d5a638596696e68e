"""Whether the request log refused certain rows, which go to the dead letters, or is itself in trouble.

Only what speaks of values is held against a row. Everything else (no table, no room on the disk, a bug in the
engine) may pass, and a row that was given up for it would be lost for nothing.
"""

from heli.backend.stores.errors import StoreError

VALUE_CODES = frozenset(
    {
        6,  # cannot parse text
        27,  # cannot parse input
        33,  # cannot read all data
        34, 38, 41, 72,  # cannot parse an escape, a date, a time, a number
        53,  # type mismatch
        69,  # argument out of bound
        70,  # cannot convert type
        117,  # incorrect data
        128, 131,  # array or string too large
        321,  # value out of range
        349,  # NULL where none may be
        407,  # decimal overflow
        469,  # constraint violated
    }
)  # fmt: skip
"""ClickHouse's error codes that are about a value."""

UNFIT = (ValueError, TypeError, OverflowError, ArithmeticError)
"""What a value that fits no column raises before it is even sent."""


def is_about_rows(error: Exception) -> bool:
    """Whether the same rows would be refused by a healthy log as well."""
    if isinstance(error, UNFIT):
        return True
    if not isinstance(error, StoreError):
        return False
    code = getattr(error.__cause__, "code", None)
    return code is None or code in VALUE_CODES
