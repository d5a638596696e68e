"""`--since` and `--until`: times as the filter language writes them, in the person's time zone."""

import datetime

from heli.schema.errors import UsageError


def read_time(text: str | None, flag: str) -> datetime.datetime | None:
    """The moment, in UTC. Raises `UsageError` that names the flag."""
    if text is None:
        return None
    from heli.schema.filter.values import BadValue, read_moment

    try:
        return read_moment(text, datetime.datetime.now(datetime.UTC), None)
    except BadValue as error:
        raise UsageError(
            f"{flag}: {error}", "write it like 2h, 3d, today, yesterday, 14:30 or 2026-11-01"
        ) from error


def zone_name() -> str:
    """The IANA name of the machine's time zone; `UTC` when it has none."""
    import os
    from pathlib import Path

    named = os.environ.get("TZ", "").removeprefix(":")
    if named and not named.startswith("/"):
        return named
    target = Path("/etc/localtime").resolve()
    _, found, name = str(target).partition("/zoneinfo/")
    return name if found else "UTC"
