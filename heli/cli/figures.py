"""Figures for people: tokens, money, times. Unknown is `?`, never 0."""

import datetime
from decimal import ROUND_HALF_EVEN, Decimal

UNKNOWN = "?"
CENT = Decimal("0.01")
UNITS = ("KiB", "MiB", "GiB", "TiB")


def count(value: int | None) -> str:
    return UNKNOWN if value is None else f"{value:,}"


def counted(number: int, noun: str) -> str:
    """`1 call`, `2 calls`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def money(value: Decimal | None) -> str:
    """Dollars, with enough digits to be non-zero: `$4.21`, `$.0303`, `$.00013`."""
    if value is None:
        return UNKNOWN
    if value == 0:
        return "$0"
    if abs(value) < 1:
        value = _three_digits(value)
    if abs(value) >= 1:
        return f"${value.quantize(CENT):,}"
    return "$" + _digits(value, at_least=2)


def about(value: Decimal | None, is_estimate: bool) -> str:
    """Dollars, with `~` before them where they are an estimate."""
    return f"~{money(value)}" if is_estimate and value is not None else money(value)


def exact_money(value: Decimal | None) -> str:
    """Dollars with every digit: `$.030133`."""
    if value is None:
        return UNKNOWN
    if value == 0:
        return "$0"
    return "$" + _digits(value, at_least=2)


def _three_digits(value: Decimal) -> Decimal:
    return value.quantize(Decimal(1).scaleb(value.adjusted() - 2), rounding=ROUND_HALF_EVEN)


def _digits(value: Decimal, at_least: int) -> str:
    whole, _, fraction = f"{value:,f}".partition(".")
    fraction = fraction.rstrip("0").ljust(at_least, "0")
    return f"{whole.removesuffix('0') if whole in ('0', '-0') else whole}.{fraction}"


def duration(milliseconds: float | None) -> str:
    """`12ms`, `0.2s`, `9.8s`, `3m12s`, `2h05m`."""
    if milliseconds is None:
        return UNKNOWN
    if milliseconds < 99.5:
        return f"{milliseconds:.0f}ms"
    seconds = milliseconds / 1000
    if seconds < 99.95:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours < 48 else f"{hours // 24}d{hours % 24:02}h"


def clock(moment: datetime.datetime, today: datetime.date | None = None) -> str:
    """Local time of day; with the day when that is not `today`."""
    local = moment.astimezone()
    if today is None or local.date() == today:
        return f"{local:%H:%M:%S}"
    return f"{local:%m-%d %H:%M}" if local.year == today.year else f"{local:%Y-%m-%d}"


def day_and_time(moment: datetime.datetime, today: datetime.date) -> str:
    """Local day and time of day; with the year when that is not `today`'s."""
    local = moment.astimezone()
    return f"{local:%m-%d %H:%M}" if local.year == today.year else f"{local:%Y-%m-%d %H:%M}"


def size(byte_count: int | None) -> str:
    """`812 B`, `3.4 KiB`, `1.2 GiB`."""
    if byte_count is None:
        return UNKNOWN
    if byte_count < 1024:
        return f"{byte_count} B"
    power = min((byte_count.bit_length() - 1) // 10, len(UNITS))
    return f"{byte_count / 1024**power:,.1f} {UNITS[power - 1]}"
