"""The events of a run that prices the log again."""

from collections.abc import Iterable, Iterator

import msgspec

from heli.client import faults
from heli.client.event_lines import read_events
from heli.schema.errors import HeliError, UnreachableError
from heli.schema.repricing import RepriceProgress, RepriceReport


def reprice_events(lines: Iterable[str]) -> Iterator[RepriceProgress | RepriceReport]:
    """Progress, and the report at the end. Raises the error that the backend tells of."""
    for name, data in read_events(lines):
        try:
            if name == "progress":
                yield msgspec.json.decode(data, type=RepriceProgress)
            elif name == "done":
                yield msgspec.json.decode(data, type=RepriceReport)
                return
            elif name == "failed":
                raise faults.of_event(data)
        except msgspec.DecodeError as error:
            raise HeliError(
                f"the backend's event {name!r} cannot be read: {error}",
                "are backend and command of the same version?",
            ) from error
    raise UnreachableError(
        "the backend stopped before all calls were priced",
        "what was written is right; run it again to go on",
    )
