"""The values of the filter language: numbers, money, durations, moments. Each reader raises `BadValue`."""

import datetime
import re
from decimal import Decimal

_NUMBER = re.compile(r"[+-]?(\d{1,18}(?:\.\d{1,18})?)([kKmM]?)", re.ASCII)
_MONEY = re.compile(r"\$?(\d{1,12}(?:\.\d{1,18})?|\.\d{1,18})", re.ASCII)
_DURATION = re.compile(r"(?:\d{1,12}(?:\.\d{1,9})?(?:us|µs|ms|s|m|h|d|w))+", re.ASCII)
_DURATION_PART = re.compile(r"([\d.]+)(us|µs|ms|s|m|h|d|w)")
_DATE = re.compile(
    r"\d{4}-\d\d(?:-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:\d\d)?)?)?", re.ASCII
)
_CLOCK = re.compile(r"\d\d?:\d\d(?::\d\d)?", re.ASCII)
_SECONDS = {
    "us": Decimal("1e-6"), "µs": Decimal("1e-6"), "ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60),
    "h": Decimal(3600), "d": Decimal(86400), "w": Decimal(604800),
}  # fmt: skip
STATUS_CLASS = re.compile("[1-5]xx", re.IGNORECASE)
_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}

_EARLIEST = datetime.datetime(1900, 1, 2, tzinfo=datetime.UTC)
_LATEST = datetime.datetime(2261, 1, 1, tzinfo=datetime.UTC)
"""What the request log can hold."""


class BadValue(ValueError):  # noqa: N818 - it is a state of the value, told to people as a FilterError
    """A value that does not fit its field, with the next thing to try."""

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint


def read_number(text: str) -> int | float:
    """`500`, `1.5k`, `2M`."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise BadValue(f"{text[:60]!r} is not a number", "write it like 500, 1.5k or 2M")
    number = Decimal(match[1]) * {"": 1, "k": 1_000, "m": 1_000_000}[match[2].lower()]
    return _plain(-number if text.startswith("-") else number)


def read_status(text: str) -> int | float:
    """`429`; classes like `4xx` are taken before, where they can be."""
    if STATUS_CLASS.fullmatch(text):
        raise BadValue(
            f"{text} is compared with : only", f"write status:{text.lower()}, or a number: {text[0]}00"
        )
    if _NUMBER.fullmatch(text) is None:
        raise BadValue(f"{text[:60]!r} is not a status", "write it like 429 or 4xx")
    return read_number(text)


def read_money(text: str) -> int | float:
    """Dollars: `0.01` or `$0.01`."""
    match = _MONEY.fullmatch(text)
    if match is None:
        raise BadValue(f"{text[:60]!r} is not an amount of dollars", "write it like 0.01 or $5")
    return _plain(Decimal(match[1]))


def read_duration_ms(text: str) -> int | float:
    """`2s`, `500ms`, `1m30s`; in milliseconds."""
    if text == "0":
        return 0
    if _NUMBER.fullmatch(text):
        raise BadValue(f"{text!r} what?", f"give the unit: {text}s or {text}ms")
    if _DURATION.fullmatch(text) is None:
        raise BadValue(f"{text[:60]!r} is not a duration", "write it like 2s, 500ms or 1m30s")
    return _plain(_seconds(text) * 1000)


def read_flag(text: str) -> bool:
    if text.lower() not in _FLAGS:
        raise BadValue(f"{text[:60]!r} is neither true nor false")
    return _FLAGS[text.lower()]


def read_moment(text: str, now: datetime.datetime, zone: datetime.tzinfo | None) -> datetime.datetime:
    """A moment, in UTC.

    `2h` is that long before `now`; `today`, `14:30` and dates without an offset are meant in `zone`, where
    `None` is the machine's own.
    """
    try:
        moment = _moment(text, now, zone).astimezone(datetime.UTC)
    except (ValueError, OverflowError, OSError) as error:
        if isinstance(error, BadValue):
            raise
        raise BadValue(f"there is no such moment as {text[:60]!r}") from error
    if not _EARLIEST <= moment < _LATEST:
        raise BadValue(f"{text[:60]!r} is too far away")
    return moment


def _moment(text: str, now: datetime.datetime, zone: datetime.tzinfo | None) -> datetime.datetime:
    word = text.lower()
    midnight = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    if word == "now":
        return now
    if word in ("today", "yesterday"):
        return _localise(midnight - datetime.timedelta(days=word == "yesterday"), zone)
    if _DURATION.fullmatch(text):
        return now - datetime.timedelta(seconds=float(_seconds(text)))
    if _CLOCK.fullmatch(text):
        clock = datetime.time.fromisoformat(text.zfill(5) if text.count(":") == 1 else text.zfill(8))
        return _localise(datetime.datetime.combine(midnight, clock), zone)
    if _DATE.fullmatch(text):
        moment = datetime.datetime.fromisoformat(text + "-01" if len(text) == 7 else text)
        return moment if moment.tzinfo else _localise(moment, zone)
    raise BadValue(
        f"{text[:60]!r} is not a time",
        "write it like 2h, 3d, today, yesterday, 14:30, 2026-11-01 or 2026-11-01T14:30Z",
    )


def _localise(moment: datetime.datetime, zone: datetime.tzinfo | None) -> datetime.datetime:
    """Give a wall-clock time its zone. What summer time skips or repeats is the earlier of its readings."""
    return moment.replace(tzinfo=zone) if zone else moment.astimezone()


def _seconds(text: str) -> Decimal:
    return sum((Decimal(count) * _SECONDS[unit] for count, unit in _DURATION_PART.findall(text)), Decimal())


def _plain(number: Decimal) -> int | float:
    """As JSON would write it."""
    return int(number) if number == number.to_integral_value() else float(number)
