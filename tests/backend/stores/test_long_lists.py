"""Questions with long lists stay within what a ClickHouse server takes as one parameter."""

import datetime
import uuid
from collections.abc import Mapping
from typing import Any

import pytest

from heli.backend.stores.request_log import RequestLog
from heli.backend.stores.threads import Member, find_followed, find_following, move_to_session
from tests.backend.stores.running_store import NOON

MOST_BYTES = 131_072
"""`http_max_field_value_size`, as a server has it by default."""
DAY = datetime.timedelta(days=1)
IDS = [uuid.UUID(int=number) for number in range(20_000)]
KEYS = [2**64 - 1 - number for number in range(20_000)]


class NotingServer:
    """Answers nothing, and remembers the lists that it was given."""

    def __init__(self) -> None:
        self.lists: list[list[Any]] = []

    def query(self, sql: str, parameters: Mapping[str, Any], settings: object = None) -> list[dict[str, Any]]:
        self.lists += [list(value) for value in parameters.values() if isinstance(value, list | tuple)]
        return []

    def command(self, sql: str, settings: object, parameters: Mapping[str, Any]) -> None:
        self.query(sql, parameters)

    @property
    def longest(self) -> int:
        """In bytes, as the driver writes lists."""
        return max(len("['" + "', '".join(map(str, each)) + "']") for each in self.lists)

    def told(self) -> set[Any]:
        return {item for each in self.lists for item in each}


@pytest.fixture
def server() -> NotingServer:
    return NotingServer()


@pytest.fixture
def noting(server: NotingServer) -> RequestLog:
    return RequestLog(server)  # type: ignore[arg-type]


def test_many_ids_are_asked_for_in_parts(server: NotingServer, noting: RequestLog) -> None:
    assert noting.existing(IDS, NOON, NOON) == {}

    assert server.told() == set(IDS)
    assert server.longest < MOST_BYTES


@pytest.mark.parametrize("find", [find_followed, find_following])
def test_many_keys_are_asked_for_in_parts(server: NotingServer, noting: RequestLog, find: Any) -> None:
    assert find(noting, uuid.UUID(int=0), NOON - DAY, NOON, KEYS) == []

    assert server.told() == set(KEYS)
    assert server.longest < MOST_BYTES


def test_many_calls_are_given_a_session_in_parts(server: NotingServer, noting: RequestLog) -> None:
    owner = Member(
        id=IDS[0],
        created_at=NOON,
        session_id="thread-1",
        session_name="",
        session_path="/",
        session_source="thread",
        keys=[],
        follows=[],
    )
    threads = [f"thread-{number:012x}-abcdef" for number in range(4_000)]

    move_to_session(noting, uuid.UUID(int=0), NOON - DAY, NOON, owner, ids=IDS, threads=threads)

    assert server.told() == {*IDS, *threads}
    assert server.longest < MOST_BYTES
